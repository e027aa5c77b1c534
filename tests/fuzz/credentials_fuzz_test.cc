// What a launcher, or somebody in its place, writes to the standard input of a process.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "security/credentials.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const auto parsed =
      ParseCredentials(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) {
    SLUICE_CHECK(absl::IsInvalidArgument(parsed.status()), "a documented error");
    return 0;
  }
  SLUICE_CHECK(parsed->certificate.size() <= kMaxPemBytes, "lengths are limited");
  const absl::Status usable = CheckCredentials(*parsed, absl::FromUnixSeconds(1900000000));
  SLUICE_CHECK(usable.ok() || absl::IsUnauthenticated(usable), "a documented error");
  const auto again = ParseCredentials(Serialize(*parsed));
  SLUICE_CHECK(again.ok() && again->token == parsed->token, "parse inverts serialise");
  return 0;
}
