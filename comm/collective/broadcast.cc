#include "comm/collective/broadcast.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/collective/request_set.h"

namespace sluice {
namespace {

// Places count from the root. Place p receives from p without its highest bit, in the step of that
// bit.
absl::Status Tree(const CollectiveContext& context, Rank root, absl::Span<std::byte> data) {
  const int64_t ranks = context.world_size;
  const int64_t place = (context.transport.self().value - root.value + ranks) % ranks;
  const auto rank_at = [&](int64_t p) { return Rank((p + root.value) % ranks); };

  int64_t reach = 1;  // places below it have the bytes
  while (reach <= place) reach *= 2;
  std::vector<RequestId> storage;
  if (place > 0) {
    RequestSet requests(context, storage);
    requests.Receive(rank_at(place - reach / 2), 0, data);
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  RequestSet requests(context, storage);
  for (; place + reach < ranks; reach *= 2) requests.Send(rank_at(place + reach), 0, data);
  return requests.WaitForAll();
}

}  // namespace

absl::Status Broadcast(const CollectiveContext& context, Rank root, absl::Span<std::byte> data) {
  SLUICE_CHECK(root >= Rank(0) && root < Rank(context.world_size), "no such root of a broadcast");
  return Annotate(Tree(context, root, data), absl::StrCat("broadcast ", context.operation));
}

}  // namespace sluice
