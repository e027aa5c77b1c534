#include "models/data/batch_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace sluice {

BatchSlice SliceOfRank(int64_t global_batch, Rank rank, int world_size) {
  return {global_batch * rank.value / world_size, global_batch * (rank.value + 1) / world_size};
}

std::vector<int64_t> EpochPermutation(uint64_t seed, int64_t epoch, int64_t samples) {
  const RandomKey key = RandomKey(seed).With(static_cast<uint64_t>(epoch));
  std::vector<int64_t> order(samples);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = samples - 1; i > 0; --i) std::swap(order[i], order[key.Below(i, i + 1)]);
  return order;
}

absl::StatusOr<BatchSampler> BatchSampler::Create(uint64_t seed, int64_t samples,
                                                  int64_t global_batch) {
  if (global_batch < 1 || global_batch > samples) {
    return absl::InvalidArgumentError(absl::StrCat("training.global_batch is ", global_batch,
                                                   ": expected 1 to ", samples,
                                                   ", the samples of the training set"));
  }
  return BatchSampler(seed, samples, global_batch);
}

int64_t BatchSampler::StepsOf(double epochs) const {
  // Less a billionth: 0.1 epochs of 1000 samples in batches of 10 are 10 steps, not 11.
  const double steps = epochs * static_cast<double>(samples_) / static_cast<double>(global_batch_);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(steps * (1 - 1e-9))));
}

absl::Span<const int64_t> BatchSampler::GlobalBatch(Step step) {
  batch_.clear();
  const int64_t end = (step.value + 1) * global_batch_;
  for (int64_t at = step.value * global_batch_; at < end;) {
    const int64_t epoch = at / samples_;
    if (epoch != epoch_) {
      order_ = EpochPermutation(seed_, epoch, samples_);
      epoch_ = epoch;
    }
    const int64_t stop = std::min(end, (epoch + 1) * samples_);
    batch_.insert(batch_.end(), order_.begin() + (at - epoch * samples_),
                  order_.begin() + (stop - epoch * samples_));
    at = stop;
  }
  return batch_;
}

}  // namespace sluice
