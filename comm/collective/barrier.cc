#include "comm/collective/barrier.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/collective/request_set.h"

namespace sluice {
namespace {

// After the step of distance d a rank knows that the 2 d - 1 ranks before it have arrived.
absl::Status Disseminate(const CollectiveContext& context) {
  const int64_t ranks = context.world_size;
  const int64_t self = context.transport.self().value;
  std::vector<RequestId> storage;
  storage.reserve(2);
  int phase = 0;
  for (int64_t distance = 1; distance < ranks; distance *= 2, ++phase) {
    RequestSet requests(context, storage);
    requests.Receive(Rank((self + ranks - distance) % ranks), phase, {});
    requests.Send(Rank((self + distance) % ranks), phase, {});
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Barrier(const CollectiveContext& context) {
  return Annotate(Disseminate(context), absl::StrCat("barrier ", context.operation));
}

}  // namespace sluice
