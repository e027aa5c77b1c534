#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/all_reduce_algorithm.h"
#include "comm/collective/collective_context.h"
#include "comm/collective/link_estimate.h"
#include "comm/transport/transport.h"

namespace sluice {

/// How to all-reduce; equal on all ranks, or they do not understand each other.
struct AllReduceOptions {
  /// kAuto: what ChooseAllReduce (all_reduce_cost.h) says of the bytes, the hosts and `link`.
  AllReduceAlgorithm algorithm = AllReduceAlgorithm::kAuto;
  /// A number of the host for each rank, any numbers; empty: all ranks on one host.
  absl::Span<const int> host_of_rank;
  /// The longest message, so that sending, receiving and adding overlap; 0: chosen by the bytes.
  int64_t chunk_bytes = 0;
  /// The link that kAuto reckons with. Ranks measure different values: agree on one before.
  LinkEstimate link;
};

/// Scratch that lives from call to call, so that a steady state allocates nothing.
struct AllReduceBuffers {
  std::vector<float> scratch;
  std::vector<RequestId> requests;
  std::vector<size_t> numbers;
  std::vector<const float*> inputs;
  std::vector<std::pair<int, int>> by_host;  // (host, rank)
  std::vector<int> group;
  std::vector<int> across;
};

/// data[i] = sum over ranks of data[i], in an order that the algorithm fixes: the same bits on
/// every rank and every run. docs/collectives.md has the algorithms, their costs and orders.
///
/// \error kInvalidArgument  `options` do not fit the world; as Transport otherwise
absl::Status AllReduce(const CollectiveContext& context, const AllReduceOptions& options,
                       absl::Span<float> data, AllReduceBuffers& buffers);

}  // namespace sluice
