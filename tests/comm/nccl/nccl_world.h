#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "comm/nccl/gpu_probe.h"
#include "comm/nccl/nccl_reducer.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/reducer.h"

namespace sluice {

/// A world of NCCL reducers in this process: one thread per rank, and rank r on device r.
struct NcclWorld {
  const GpuLibrary& gpu;
  Reducer::Options options;

  NcclWorld(const GpuLibrary& gpu, int world_size);

  /// Four tensors in three buckets of up to 1 KiB, the second tensor larger than a bucket.
  BucketLayout Layout() const;

  /// The reducer of one rank. \param id  of NewNcclId
  absl::StatusOr<std::unique_ptr<Reducer>> Make(Rank rank, const std::string& id) const;

  /// Runs `body` for every rank and joins. A rank's reducer is destroyed when its body returns.
  void Run(const std::function<void(Rank, Reducer&)>& body) const;
};

/// Gradient `element` of `tensor` of `rank` in `step`: a multiple of 1/64 between -2 and 2, so that
/// sums are exact in any order.
float NcclGradient(Step step, int tensor, Rank rank, int64_t element);

/// Lets `rank` run one step with these gradients; tensors become ready in the layout's order.
absl::StatusOr<ReductionStats> RunNcclStep(Reducer& reducer, Step step, Rank rank);

/// How many elements of all tensors are not the exact mean of these gradients over the ranks.
int64_t WrongMeans(Reducer& reducer, Step step);

}  // namespace sluice
