// Lines of a run directory's files, read back.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "policies/records/records.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto check = [](const absl::Status& status) {
    SLUICE_CHECK(status.ok() || absl::IsInvalidArgument(status), "a documented error");
    SLUICE_CHECK(status.message().find('\n') == absl::string_view::npos, "errors are one line");
  };
  check(ParseStatistics(text, "text").status());
  check(ParsePolicies(text, "text").status());
  return 0;
}
