// Training on changed samples, made by several loader threads.

#include <vector>

#include "gtest/gtest.h"
#include "tests/training/memory_world.h"

namespace sluice {
namespace {

proto::JobConfig AugmentedJob(int prefetch_batches, int threads) {
  proto::JobConfig job = SyntheticJob();
  proto::Data& data = *job.mutable_data();
  data.set_dataset("synthetic");
  data.set_channels(1);
  data.set_side(28);
  data.set_classes(10);
  data.set_samples(100);  // so that steps cross epochs
  data.set_noise(0.25);
  data.set_seed(1);
  data.set_test_share(0.1);
  for (const char* change : {"crop", "flip", "mixup"}) data.add_augment(change);
  data.set_crop_padding(2);
  data.set_mixup_alpha(0.4);
  data.set_prefetch_batches(prefetch_batches);
  data.set_threads(threads);
  return job;
}

std::vector<double> Losses(MemoryWorld& world, int64_t begin, int64_t end) {
  std::vector<double> losses;
  for (int64_t s = begin; s < end; ++s) losses.push_back(*world.RunStep(Step(s)));
  return losses;
}

TEST(AugmentedTraining, LossesDoNotDependOnTheWorldSize) {
  const auto one = *MemoryWorld::Create(AugmentedJob(2, 1), 1);
  const auto three = *MemoryWorld::Create(AugmentedJob(2, 1), 3);
  const auto expected = Losses(*one, 0, 12), losses = Losses(*three, 0, 12);
  for (size_t s = 0; s < losses.size(); ++s) {
    EXPECT_NEAR(losses[s], expected[s], 1e-5 * expected[s]) << "step " << s;
  }
}

TEST(AugmentedTraining, LoaderThreadsChangeNoBit) {
  const auto alone = *MemoryWorld::Create(AugmentedJob(0, 1), 1);
  const auto threads = *MemoryWorld::Create(AugmentedJob(5, 4), 1);
  EXPECT_EQ(Losses(*threads, 0, 12), Losses(*alone, 0, 12));
  EXPECT_EQ(threads->trainer(0).ParameterChecksum(), alone->trainer(0).ParameterChecksum());
}

}  // namespace
}  // namespace sluice
