#include "comm/collective/all_reduce.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/collective/all_reduce_call.h"
#include "comm/collective/all_reduce_cost.h"
#include "comm/collective/direct.h"
#include "comm/collective/halving_doubling.h"
#include "comm/collective/request_set.h"
#include "comm/collective/ring.h"

namespace sluice {
namespace {

constexpr int64_t kShortestMessageBytes = 256 << 10;
constexpr int64_t kLongestMessageBytes = 1 << 20;

absl::Status Check(const CollectiveContext& context, const AllReduceOptions& options) {
  const size_t hosts = options.host_of_rank.size();
  if (hosts != 0 && hosts != static_cast<size_t>(context.world_size)) {
    return absl::InvalidArgumentError(absl::StrCat("host_of_rank names the hosts of ", hosts,
                                                   " ranks, the world has ", context.world_size));
  }
  if (options.chunk_bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk_bytes is ", options.chunk_bytes, ", a length is expected, or 0"));
  }
  return absl::OkStatus();
}

// Short enough that a chunk is several messages which overlap, long enough that the price of a
// message (docs/collectives.md) does not show.
int64_t MessageElements(const AllReduceOptions& options, int64_t bytes, int ranks) {
  const int64_t message =
      options.chunk_bytes > 0
          ? options.chunk_bytes
          : std::clamp(bytes / ranks / kMessagesAhead, kShortestMessageBytes, kLongestMessageBytes);
  return std::max<int64_t>(1, message / static_cast<int64_t>(sizeof(float)));
}

absl::Status AmongAll(AllReduceCall& call, absl::Span<float> data) {
  auto& group = call.buffers.group;
  group.clear();
  for (int rank = 0; rank < call.ranks; ++rank) group.push_back(rank);
  return Direct(call, {group, call.ranks, {}}, data);
}

// With equally many ranks on all hosts each owns a chunk, else the lowest of each host owns all.
absl::Status ByHosts(AllReduceCall& call, absl::Span<const int> host_of_rank,
                     absl::Span<float> data) {
  if (host_of_rank.empty()) return AmongAll(call, data);
  auto& by_host = call.buffers.by_host;
  by_host.clear();
  for (int rank = 0; rank < call.ranks; ++rank) {
    by_host.emplace_back(host_of_rank[static_cast<size_t>(rank)], rank);
  }
  std::sort(by_host.begin(), by_host.end());
  const auto end_of_host = [&](size_t begin) {
    size_t end = begin;
    while (end < by_host.size() && by_host[end].first == by_host[begin].first) ++end;
    return end;
  };

  const size_t ranks_per_host = end_of_host(0);
  bool equal = true;
  auto& group = call.buffers.group;
  group.clear();
  for (size_t begin = 0, end; begin < by_host.size(); begin = end) {
    end = end_of_host(begin);
    equal = equal && end - begin == ranks_per_host;
    if (by_host[begin].first != host_of_rank[static_cast<size_t>(call.self)]) continue;
    for (size_t i = begin; i < end; ++i) group.push_back(by_host[i].second);
  }
  const size_t owners = equal ? ranks_per_host : 1;
  const auto position =
      static_cast<size_t>(std::find(group.begin(), group.end(), call.self) - group.begin());
  auto& across = call.buffers.across;
  across.clear();
  for (size_t begin = 0; position < owners && begin < by_host.size(); begin = end_of_host(begin)) {
    across.push_back(by_host[begin + position].second);
  }
  return Direct(call, {group, static_cast<int>(owners), across}, data);
}

absl::Status Run(AllReduceAlgorithm algorithm, const AllReduceOptions& options, AllReduceCall& call,
                 absl::Span<float> data) {
  switch (algorithm) {
    case AllReduceAlgorithm::kRing:
      return Ring(call, data);
    case AllReduceAlgorithm::kHalvingDoubling:
      return HalvingDoubling(call, data);
    case AllReduceAlgorithm::kHierarchical:
      return ByHosts(call, options.host_of_rank, data);
    case AllReduceAlgorithm::kAuto:
    case AllReduceAlgorithm::kDirect:
      break;
  }
  return AmongAll(call, data);
}

}  // namespace

absl::Status AllReduce(const CollectiveContext& context, const AllReduceOptions& options,
                       absl::Span<float> data, AllReduceBuffers& buffers) {
  const auto bytes = static_cast<int64_t>(data.size() * sizeof(float));
  SLUICE_RETURN_IF_ERROR_AT(Check(context, options),
                            absl::StrCat("all-reduce ", context.operation));
  if (context.world_size == 1 || data.empty()) return absl::OkStatus();
  AllReduceAlgorithm algorithm = options.algorithm;
  if (algorithm == AllReduceAlgorithm::kAuto) {
    algorithm = ChooseAllReduce(bytes, context.world_size, options.host_of_rank, options.link);
  }
  RequestSet requests(context, buffers.requests);
  AllReduceCall call{context.world_size, static_cast<int>(context.transport.self().value),
                     MessageElements(options, bytes, context.world_size), requests, buffers};
  SLUICE_RETURN_IF_ERROR_AT(Run(algorithm, options, call, data),
                            absl::StrCat(ToString(algorithm), " all-reduce ", context.operation));
  return absl::OkStatus();
}

}  // namespace sluice
