#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ids.h"

namespace sluice {

/// Half-open range of positions within a global batch.
struct BatchSlice {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// The part of a global batch that `rank` computes: [B r / N, B (r + 1) / N). The slices of all
/// ranks are disjoint, cover the batch, and differ by one sample at most; none is empty when N <=
/// B.
BatchSlice SliceOfRank(int64_t global_batch, Rank rank, int world_size);

/// Order in which epoch `epoch` visits the samples: a uniform permutation of [0, samples), drawn by
/// Fisher-Yates from RandomKey(seed).With(epoch). The same for every world size.
std::vector<int64_t> EpochPermutation(uint64_t seed, int64_t epoch, int64_t samples);

/// Which samples a step takes, as a pure function of (seed, step).
///
/// The permutations of epochs 0, 1, ... one after another are the order of positions; step s takes positions
/// [s B, (s + 1) B). Batches have the same size, so one may end an epoch and begin the next; every epoch
/// visits every sample once. Nothing needs to be saved to resume: ask for the next step.
/// \threadsafety one thread at a time; it keeps the current epoch's permutation
class BatchSampler {
 public:
  /// \error kInvalidArgument unless 1 <= global_batch <= samples
  static absl::StatusOr<BatchSampler> Create(uint64_t seed, int64_t samples, int64_t global_batch);

  /// Steps that visit `epochs` passes over all samples, rounded up, and at least 1.
  int64_t StepsOf(double epochs) const;
  int64_t global_batch() const { return global_batch_; }

  /// Indices of the samples of the whole batch, over all ranks. Valid until the next call.
  absl::Span<const int64_t> GlobalBatch(Step step);

 private:
  BatchSampler(uint64_t seed, int64_t samples, int64_t global_batch)
      : seed_(seed), samples_(samples), global_batch_(global_batch) {}

  uint64_t seed_;
  int64_t samples_;
  int64_t global_batch_;
  int64_t epoch_ = -1;  // of order_
  std::vector<int64_t> order_;
  std::vector<int64_t> batch_;
};

}  // namespace sluice
