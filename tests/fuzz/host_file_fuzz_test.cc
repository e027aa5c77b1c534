// Host files, as people and operators write them.

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "orchestrator/launcher/host_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const auto file = ParseHostFile({reinterpret_cast<const char*>(data), size}, "f");
  if (!file.ok()) {
    SLUICE_CHECK(absl::IsInvalidArgument(file.status()), "a documented error");
    SLUICE_CHECK(file.status().message().size() < 2000, "errors stay readable");
    return 0;
  }
  // What was read, written in one form, reads the same.
  std::string text;
  for (const HostSlots& host : file->hosts) {
    SLUICE_CHECK(host.host.front() != '-', "no host is an option of ssh");
    const bool six = host.host.find(':') != std::string::npos;
    absl::StrAppend(&text, six ? "[" : "", host.host, six ? "]" : "", " slots=", host.slots, "\n");
  }
  const auto again = ParseHostFile(text, "g");
  SLUICE_CHECK(again.ok() && ToString(again->hosts) == ToString(file->hosts),
               "reads the same again");
  return 0;
}
