#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/reducer.h"
#include "comm/transport/transport.h"

namespace sluice {

/// A world of reducers in this process, one thread per rank.
struct World {
  std::vector<TensorInfo> tensors;
  int64_t bucket_bytes = 0;
  Reducer::Options options;
  int further_peers = 0;  ///< beyond the ranks, e.g. a profiler

  /// Connects that many peers; null: inproc.
  std::function<std::vector<std::unique_ptr<Transport>>(int peers)> connect;

  /// Puts something around a rank's transport; the comm thread calls it. May be null.
  std::function<std::unique_ptr<Transport>(Rank, std::unique_ptr<Transport>)> wrap;

  BucketLayout Layout() const;

  /// Runs `body` for every rank and joins. A rank's reducer is destroyed when its body returns.
  /// \param run_peer  for every further peer, on its own thread; may be null
  void Run(const std::function<void(Rank, Reducer&)>& body,
           const std::function<void(Transport&)>& run_peer = nullptr) const;
};

/// Three tensors that share buckets, one that spans chunks, and ones smaller than a chunk cut.
std::vector<TensorInfo> MixedTensors();

/// Gradient `element` of `tensor` of `rank` in `step`: reproducible, in (-1, 1).
float TestGradient(Step step, int tensor, Rank rank, int64_t element);

/// Lets `rank` run one step with test gradients; tensors become ready in backward order.
absl::StatusOr<ReductionStats> RunStep(Reducer& reducer, Step step, Rank rank);

/// The gradients that the reducer holds, tensor after tensor.
std::vector<float> AllGradients(Reducer& reducer);

/// Mean over ranks of the test gradients in the reducer's order of summation (the owner's value,
/// then the others in ascending order), tensor after tensor.
std::vector<float> NaiveMean(const BucketLayout& layout, Step step);

/// A plan that uses `codec` for every tensor.
CodecPlan UniformPlan(const BucketLayout& layout, uint32_t version, Step effective_step,
                      const CodecConfig& codec);

/// Every kind of codec with several parameters.
std::vector<CodecConfig> ManyCodecs();

}  // namespace sluice
