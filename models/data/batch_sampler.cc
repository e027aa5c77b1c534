#include "models/data/batch_sampler.h"

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

absl::Span<const int64_t> BatchSampler::GlobalBatch(Step step) {
  const int64_t epoch = step.value / steps_per_epoch();
  if (epoch != epoch_) {
    order_ = EpochPermutation(seed_, epoch, samples_);
    epoch_ = epoch;
  }
  return absl::MakeConstSpan(order_).subspan(step.value % steps_per_epoch() * global_batch_,
                                             global_batch_);
}

}  // namespace sluice
