// What a launcher sends to remote-exec.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "orchestrator/launcher/remote_start.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const auto start = DecodeRemoteStart({reinterpret_cast<const char*>(data), size});
  if (start.ok()) {
    SLUICE_CHECK(!start->argv().empty(), "there is something to start");
    const auto bytes = EncodeRemoteStart(*start);
    SLUICE_CHECK(bytes.ok() && DecodeRemoteStart(*bytes).ok(), "decode inverts encode");
  } else {
    SLUICE_CHECK(absl::IsDataLoss(start.status()), "a documented error");
  }
  return 0;
}
