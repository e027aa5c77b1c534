#include "comm/collective/all_gather.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/collective/request_set.h"

namespace sluice {
namespace {

absl::Status Ring(const CollectiveContext& context, size_t part_bytes, absl::Span<std::byte> out) {
  const int64_t ranks = context.world_size;
  const int64_t self = context.transport.self().value;
  const auto part = [&](int64_t index) {
    const int64_t wrapped = ((index % ranks) + ranks) % ranks;
    return out.subspan(static_cast<size_t>(wrapped) * part_bytes, part_bytes);
  };

  std::vector<RequestId> storage;
  storage.reserve(2);
  for (int64_t step = 0; step < ranks - 1; ++step) {
    RequestSet requests(context, storage);
    requests.Receive(Rank((self + ranks - 1) % ranks), 0, part(self - step - 1));
    requests.Send(Rank((self + 1) % ranks), 0, part(self - step));
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AllGather(const CollectiveContext& context, absl::Span<const std::byte> mine,
                       absl::Span<std::byte> out) {
  SLUICE_CHECK(out.size() == mine.size() * static_cast<size_t>(context.world_size),
               "the output of an all-gather must hold one part per rank");
  if (mine.empty()) return absl::OkStatus();
  const size_t begin = static_cast<size_t>(context.transport.self().value) * mine.size();
  std::memmove(out.data() + begin, mine.data(), mine.size());
  return Annotate(Ring(context, mine.size(), out), absl::StrCat("all-gather ", context.operation));
}

}  // namespace sluice
