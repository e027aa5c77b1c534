#include "comm/transport/transport.h"

namespace sluice {

absl::Status WaitAll(Transport& transport, absl::Span<const RequestId> requests,
                     absl::Time deadline) {
  absl::Status first;
  for (RequestId request : requests) {
    if (request == kNoRequest) continue;
    absl::Status status = transport.Wait(request, first.ok() ? deadline : absl::InfinitePast());
    if (first.ok()) first = std::move(status);
  }
  return first;
}

}  // namespace sluice
