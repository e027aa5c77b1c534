// What a job may change about how its steps are computed: micro-batches, local steps, clipping, smoothing,
// the weights' average, precision.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/checkpoint.h"
#include "training/checkpoint_parts.h"
#include "training/gradient_norm.h"
#include "training/trainer.h"

namespace sluice {
namespace {

std::vector<double> Losses(const proto::JobConfig& job, int world_size, int steps) {
  const auto world = *MemoryWorld::Create(job, world_size);
  std::vector<double> losses;
  for (int s = 0; s < steps; ++s) losses.push_back(*world->RunStep(Step(s)));
  return losses;
}

double WorstDifference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]) / b[i]);
  return worst;
}

double NormOfGradients(MemorySink& sink) {
  double squares = 0;
  for (const std::vector<float>& gradient : sink.gradients()) squares += SumOfSquares(gradient);
  return std::sqrt(squares);
}

// A checkpoint of all ranks of `world`. \return its path
std::string Write(MemoryWorld& world, const proto::JobConfig& job, const std::string& name,
                  Step completed) {
  const std::string root = FreshDirectory(name);
  std::vector<proto::CheckpointFile> files;
  for (int r = 0; r < world.size(); ++r) {
    const auto blobs = world.trainer(r).CheckpointFiles(completed);
    EXPECT_TRUE(blobs.ok()) << blobs.status();
    const auto part = WritePart(root, completed, *blobs);
    EXPECT_TRUE(part.ok()) << part.status();
    files.insert(files.end(), part->begin(), part->end());
  }
  proto::CheckpointManifest manifest;
  manifest.set_step(completed.value);
  manifest.set_world_size(world.size());
  *manifest.mutable_job() = job;
  const auto path = CommitCheckpoint(root, manifest, files, 1);
  EXPECT_TRUE(path.ok()) << path.status();
  return path.ok() ? *path : "";
}

// A world that goes on from `path` as a cluster does.
std::unique_ptr<MemoryWorld> Resume(const proto::JobConfig& job, int world_size,
                                    const std::string& path, Step completed) {
  auto world = *MemoryWorld::Create(job, world_size);
  EXPECT_EQ(*world->trainer(0).RestoreCheckpoint(path), completed);
  const std::string state = *world->trainer(0).SaveState(completed);
  for (int r = 1; r < world_size; ++r) {
    EXPECT_EQ(*world->trainer(r).LoadState(state), completed);
    const absl::Status restored = world->trainer(r).RestoreBuffers(path);
    EXPECT_TRUE(restored.ok()) << restored;
  }
  return world;
}

TEST(Accumulation, MicroBatchesAreOneBatchToRounding) {
  proto::JobConfig job = SyntheticJob();
  const std::vector<double> whole = Losses(job, 2, 15);
  for (const int count : {2, 3, 100}) {  // 8 samples: 4 + 4, 2 + 3 + 3, one each
    job.mutable_training()->set_accumulation_steps(count);
    EXPECT_LE(WorstDifference(Losses(job, 2, 15), whole), 1e-5) << count;
  }
}

TEST(Accumulation, TheGradientIsReadyOnceAndFinalThen) {
  proto::JobConfig job = SyntheticJob();
  const auto whole = *MemoryWorld::Create(job, 1);
  job.mutable_training()->set_accumulation_steps(3);
  const auto micro = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 2; ++s) {
    whole->sink(0).BeginStep();
    micro->sink(0).BeginStep();
    ASSERT_TRUE(whole->trainer(0).ForwardBackward(Step(s)).ok());
    ASSERT_TRUE(micro->trainer(0).ForwardBackward(Step(s)).ok());
    std::vector<int> ready = micro->sink(0).ready();
    std::sort(ready.begin(), ready.end());
    std::vector<int> all(micro->trainer(0).parameters().size());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(ready, all);
    EXPECT_EQ(micro->sink(0).at_ready(), micro->sink(0).gradients());
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t e = 0; e < micro->sink(0).gradients()[i].size(); ++e) {
        ASSERT_NEAR(micro->sink(0).gradients()[i][e], whole->sink(0).gradients()[i][e], 1e-5);
      }
    }
  }
}

TEST(Accumulation, BatchNormSeesOneMicroBatchAtATime) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("resnet18");
  job.mutable_training()->set_global_batch(4);
  const double whole = Losses(job, 1, 1)[0];
  job.mutable_training()->set_accumulation_steps(2);
  EXPECT_GT(std::abs(Losses(job, 1, 1)[0] - whole), 1e-4 * whole);
}

TEST(ClipNorm, ALongMeanGradientIsScaledDownOnAllRanks) {
  proto::JobConfig job = SyntheticJob();
  const auto free = *MemoryWorld::Create(job, 2);
  ASSERT_TRUE(free->RunStep(Step(0)).ok());
  const double norm = NormOfGradients(free->sink(0));
  job.mutable_optimizer()->set_clip_norm(norm / 10);
  const auto clipped = *MemoryWorld::Create(job, 2);
  ASSERT_TRUE(clipped->RunStep(Step(0)).ok());
  for (int r : {0, 1}) EXPECT_NEAR(NormOfGradients(clipped->sink(r)), norm / 10, 1e-5 * norm);
  EXPECT_NE(clipped->trainer(0).ParameterChecksum(), free->trainer(0).ParameterChecksum());
  EXPECT_EQ(clipped->trainer(0).ParameterChecksum(), clipped->trainer(1).ParameterChecksum());
}

TEST(ClipNorm, AShorterGradientKeepsItsBits) {
  proto::JobConfig job = SyntheticJob();
  const auto free = *MemoryWorld::Create(job, 1);
  job.mutable_optimizer()->set_clip_norm(1e6);
  const auto clipped = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 3; ++s) {
    ASSERT_TRUE(free->RunStep(Step(s)).ok());
    ASSERT_TRUE(clipped->RunStep(Step(s)).ok());
  }
  EXPECT_EQ(clipped->trainer(0).ParameterChecksum(), free->trainer(0).ParameterChecksum());
}

TEST(LabelSmoothing, ChangesTrainingAndNotWhatIsEvaluated) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_learning_rate(0.05);
  const auto plain = *MemoryWorld::Create(job, 1);
  job.mutable_training()->set_label_smoothing(0.3);
  const auto smooth = *MemoryWorld::Create(job, 1);
  EXPECT_EQ(smooth->trainer(0).EvaluateShard()->loss_sum(),
            plain->trainer(0).EvaluateShard()->loss_sum());
  double smooth_loss = 0, plain_loss = 0;
  for (int s = 0; s < 40; ++s) {
    smooth_loss = *smooth->RunStep(Step(s));
    plain_loss = *plain->RunStep(Step(s));
  }
  // Its least loss is the entropy of a target: weight 0.73 on one class and 0.03 on each of nine.
  EXPECT_GT(smooth_loss, 1.17);
  EXPECT_LT(plain_loss, 1);
  EXPECT_GT(smooth->trainer(0).EvaluateShard()->correct(), 20);
}

TEST(EmaDecay, TheAverageIsEvaluatedAndTrainingGoesOnAsWithoutIt) {
  proto::JobConfig job = SyntheticJob();
  const auto plain = *MemoryWorld::Create(job, 1);
  job.mutable_training()->set_ema_decay(0.99);
  const auto averaged = *MemoryWorld::Create(job, 1);
  EXPECT_EQ(averaged->trainer(0).EvaluateShard()->loss_sum(),
            plain->trainer(0).EvaluateShard()->loss_sum());
  for (int s = 0; s < 20; ++s) {
    EXPECT_EQ(*averaged->RunStep(Step(s)), *plain->RunStep(Step(s)));
    if (s == 10) {
      ASSERT_TRUE(averaged->trainer(0).EvaluateShard().ok());
    }
  }
  EXPECT_EQ(averaged->trainer(0).ParameterChecksum(), plain->trainer(0).ParameterChecksum());
  const double average = averaged->trainer(0).EvaluateShard()->loss_sum();
  EXPECT_NE(average, plain->trainer(0).EvaluateShard()->loss_sum());
}

TEST(EmaDecay, AResumedRunHasTheSameAverage) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_ema_decay(0.9);
  const auto whole = *MemoryWorld::Create(job, 2);
  for (int s = 0; s < 4; ++s) ASSERT_TRUE(whole->RunStep(Step(s)).ok());
  const auto resumed = Resume(job, 2, Write(*whole, job, "ema", Step(4)), Step(4));
  for (int s = 4; s < 8; ++s) EXPECT_EQ(*resumed->RunStep(Step(s)), *whole->RunStep(Step(s)));
  for (int r : {0, 1}) {
    EXPECT_TRUE(*resumed->trainer(r).SaveState(Step(8)) == *whole->trainer(r).SaveState(Step(8)));
    EXPECT_EQ(resumed->trainer(r).EvaluateShard()->loss_sum(),
              whole->trainer(r).EvaluateShard()->loss_sum());
  }
}

TEST(EmaDecay, ACheckpointHasTheAverageAsAModel) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_ema_decay(0.9);
  const auto world = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 3; ++s) ASSERT_TRUE(world->RunStep(Step(s)).ok());
  const auto files = *world->trainer(0).CheckpointFiles(Step(3));
  const auto bytes = [&](const std::string& name) {
    const auto at = std::find_if(files.begin(), files.end(),
                                 [&](const CheckpointBlob& blob) { return blob.name == name; });
    return at == files.end() ? "" : at->bytes;
  };
  EXPECT_EQ(bytes("model_average.safetensors").size(), bytes("model.safetensors").size());
  EXPECT_NE(bytes("model_average.safetensors"), bytes("model.safetensors"));
  // As a model of its own: what it evaluates to is what the trainer with the average said.
  proto::JobConfig plain = job;
  plain.mutable_training()->set_ema_decay(0);
  const auto other = *Trainer::Create(plain, Rank(0), 1);
  const double raw = world->trainer(0).EvaluateShard()->loss_sum();
  std::string state = bytes("model_average.safetensors");
  ASSERT_EQ(*other->LoadState(state), Step(3));
  EXPECT_EQ(other->EvaluateShard()->loss_sum(), raw);
}

TEST(EmaDecay, AnOlderCheckpointWithoutAnAverageStartsOne) {
  proto::JobConfig job = SyntheticJob();
  const auto plain = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 3; ++s) ASSERT_TRUE(plain->RunStep(Step(s)).ok());
  const std::string path = Write(*plain, job, "no_ema", Step(3));
  job.mutable_training()->set_ema_decay(0.9);
  const auto resumed = Resume(job, 1, path, Step(3));
  EXPECT_EQ(resumed->trainer(0).EvaluateShard()->loss_sum(),
            plain->trainer(0).EvaluateShard()->loss_sum());
}

TEST(Precision, Bf16ComputesCoarserAndLearnsAsWell) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_learning_rate(0.05);
  const std::vector<double> fp32 = Losses(job, 1, 40);
  job.mutable_training()->set_precision("bf16");
  const auto world = *MemoryWorld::Create(job, 1);
  std::vector<double> bf16;
  for (int s = 0; s < 40; ++s) bf16.push_back(*world->RunStep(Step(s)));
  EXPECT_NE(bf16[0], fp32[0]);
  EXPECT_NEAR(bf16[0], fp32[0], 0.01 * fp32[0]);
  EXPECT_LT(bf16.back(), 0.5 * bf16[0]);
  EXPECT_GT(world->trainer(0).EvaluateShard()->correct(), 30);
}

TEST(LocalSteps, ReplicasAreEqualAfterEveryStepAndOnlyTheExchangeMovesThem) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_local_steps(3);
  const auto world = *MemoryWorld::Create(job, 3);
  for (int s = 0; s < 3; ++s) {
    const uint64_t before = world->trainer(0).ParameterChecksum();
    for (int r = 0; r < 3; ++r) {
      world->sink(r).BeginStep();
      ASSERT_TRUE(world->trainer(r).ForwardBackward(Step(s)).ok());
      EXPECT_EQ(world->trainer(r).ParameterChecksum(), before);
      EXPECT_EQ(world->sink(r).ready().size(), world->trainer(r).parameters().size());
      EXPECT_EQ(world->sink(r).at_ready(), world->sink(r).gradients());
    }
    EXPECT_NE(world->sink(0).gradients(), world->sink(1).gradients());
    ASSERT_TRUE(world->RunStep(Step(s)).ok());
    for (int r = 0; r < 3; ++r) {
      EXPECT_NE(world->trainer(r).ParameterChecksum(), before);
      EXPECT_EQ(world->trainer(r).ParameterChecksum(), world->trainer(0).ParameterChecksum());
    }
  }
}

TEST(LocalSteps, EpochsCountDataAndStepsCountExchanges) {
  proto::JobConfig job = SyntheticJob();  // 512 samples, batches of 16: 32 in an epoch
  job.mutable_training()->set_local_steps(5);
  EXPECT_EQ((*Trainer::Create(job, Rank(0), 1))->StepsOf(2), 13);
}

TEST(LocalSteps, EveryRankGoesOnWithItsOwnMomentum) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_local_steps(2);
  const auto whole = *MemoryWorld::Create(job, 2);
  for (int s = 0; s < 3; ++s) ASSERT_TRUE(whole->RunStep(Step(s)).ok());
  EXPECT_NE(*whole->trainer(0).SaveState(Step(3)), *whole->trainer(1).SaveState(Step(3)));
  const auto resumed = Resume(job, 2, Write(*whole, job, "local", Step(3)), Step(3));
  for (int s = 3; s < 6; ++s) EXPECT_EQ(*resumed->RunStep(Step(s)), *whole->RunStep(Step(s)));
  for (int r : {0, 1}) {
    EXPECT_TRUE(*resumed->trainer(r).SaveState(Step(6)) == *whole->trainer(r).SaveState(Step(6)));
  }
}

TEST(LocalSteps, DivergenceLeavesTheParametersWhereTheyWere) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_local_steps(40);
  job.mutable_optimizer()->set_learning_rate(1000);
  const auto world = *MemoryWorld::Create(job, 1);
  const uint64_t before = world->trainer(0).ParameterChecksum();
  world->sink(0).BeginStep();
  const absl::Status status = world->trainer(0).ForwardBackward(Step(0)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  EXPECT_TRUE(world->sink(0).ready().empty());
  EXPECT_EQ(world->trainer(0).ParameterChecksum(), before);
}

}  // namespace
}  // namespace sluice
