// What people type after -H.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "orchestrator/launcher/host_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const auto hosts = ParseHostList({reinterpret_cast<const char*>(data), size});
  if (!hosts.ok()) {
    SLUICE_CHECK(absl::IsInvalidArgument(hosts.status()), "a documented error");
    SLUICE_CHECK(hosts.status().message().size() < 2000, "errors stay readable");
    return 0;
  }
  for (const HostSlots& host : *hosts) {
    SLUICE_CHECK(host.slots >= 1 && host.slots <= kMostSlots, "slots are in range");
    SLUICE_CHECK(!host.host.empty() && host.host.front() != '-', "no host is an option of ssh");
  }
  return 0;
}
