// training.sync_batch_norm on trainers and reducers of several ranks in this process.

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/reducer/reducer.h"
#include "comm/transport/inproc_transport.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/safetensors.h"
#include "training/step_loop.h"
#include "training/trainer.h"

namespace sluice {
namespace {

constexpr int64_t kSteps = 3;

proto::JobConfig ResnetJob() {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("resnet18");
  job.mutable_training()->set_sync_batch_norm(true);
  // With others rounding can move a value over a rectifier's edge, which two steps make a thousandth of the loss.
  job.mutable_training()->set_seed(3);
  return job;
}

struct Outcome {
  std::vector<double> losses;  // of the global batch
  std::vector<absl::Status> ends;
  std::vector<std::vector<float>> buffers;  // by rank, all in one
  std::vector<uint64_t> checksums;
};

// \param initial  by rank; empty: as the seed says
Outcome Train(const proto::JobConfig& job, int ranks,
              const std::vector<std::string>& initial = {}) {
  Outcome outcome;
  outcome.losses.resize(kSteps);
  outcome.ends.resize(ranks);
  outcome.buffers.resize(ranks);
  outcome.checksums.resize(ranks);
  std::vector<std::vector<double>> parts(ranks);
  auto transports = CreateInprocTransports(ranks);
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (int r = 0; r < ranks; ++r) trainers.push_back(*Trainer::Create(job, Rank(r), ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      Trainer& trainer = *trainers[r];
      if (!initial.empty()) {
        ASSERT_TRUE(trainer.LoadState(initial[r]).ok());
      }
      std::vector<TensorInfo> tensors;
      for (const ParameterInfo& parameter : trainer.parameters()) {
        int64_t elements = 1;
        for (int64_t extent : parameter.shape) elements *= extent;
        tensors.push_back({parameter.name, elements, 1});
      }
      Reducer::Options options;
      options.world_size = ranks;
      auto reducer =
          Reducer::Create(options, *BucketLayout::Create(std::move(tensors), 1 << 19, ranks),
                          [&] { return std::move(transports[r]); });
      ASSERT_TRUE(reducer.ok()) << reducer.status();
      outcome.ends[r] = RunSteps(
          trainer, **reducer, Step(0), [] { return kSteps; }, 1, [](Step) { return true; },
          [&](const StepOutcome& step) { parts[r].push_back(step.loss); });
      outcome.checksums[r] = trainer.ParameterChecksum();
      for (absl::Span<float> buffer : trainer.FloatBuffers()) {
        outcome.buffers[r].insert(outcome.buffers[r].end(), buffer.begin(), buffer.end());
      }
      float one = 1;  // all are through
      (void)(*reducer)->AllReduceMean(absl::MakeSpan(&one, 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<double>& part : parts) {
    for (size_t s = 0; s < part.size(); ++s) outcome.losses[s] += part[s];
  }
  return outcome;
}

TEST(SyncBatchNorm, RanksTrainAsOneRankWithTheWholeBatch) {
  const Outcome one = Train(ResnetJob(), 1);
  for (int ranks : {2, 3}) {  // 3: slices of 5, 5 and 6
    const Outcome many = Train(ResnetJob(), ranks);
    for (int64_t s = 0; s < kSteps; ++s) {
      EXPECT_NEAR(many.losses[s], one.losses[s], 1e-4 * one.losses[s]) << ranks << " step " << s;
    }
    for (int r = 0; r < ranks; ++r) {
      EXPECT_TRUE(many.ends[r].ok()) << many.ends[r];
      EXPECT_EQ(many.checksums[r], many.checksums[0]);
      EXPECT_EQ(many.buffers[r], many.buffers[0]);
    }
    double worst = 0;
    for (size_t i = 0; i < one.buffers[0].size(); ++i) {
      worst = std::max<double>(worst, std::abs(many.buffers[0][i] - one.buffers[0][i]) /
                                          (1 + std::abs(one.buffers[0][i])));
    }
    EXPECT_LE(worst, 2e-3) << ranks;
  }
}

TEST(SyncBatchNorm, WithoutItEveryRankHasStatisticsOfItsOwn) {
  proto::JobConfig job = ResnetJob();
  job.mutable_training()->set_sync_batch_norm(false);
  const Outcome own = Train(job, 2);
  EXPECT_NE(own.buffers[0], own.buffers[1]);
  EXPECT_EQ(own.checksums[0], own.checksums[1]);
}

TEST(SyncBatchNorm, ALossOfOneRankThatIsNotFiniteEndsAllWithoutAWait) {
  const std::string good = *(*Trainer::Create(ResnetJob(), Rank(0), 2))->SaveState(Step(0));
  SafeTensors state = *ReadSafeTensors(good);
  std::string bias;  // with a NaN, behind the last batch norm
  for (SafeTensor& tensor : state.tensors) {
    if (tensor.name != "fc.bias") continue;
    bias = std::string(tensor.bytes);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bias.data(), &nan, sizeof(nan));
    tensor.bytes = bias;
  }
  ASSERT_FALSE(bias.empty());
  const Outcome outcome = Train(ResnetJob(), 2, {good, WriteSafeTensors(state)});
  EXPECT_EQ(outcome.ends[1].code(), absl::StatusCode::kOutOfRange) << outcome.ends[1];
  EXPECT_FALSE(outcome.ends[0].ok());
  EXPECT_NE(outcome.ends[0].code(), absl::StatusCode::kDeadlineExceeded) << outcome.ends[0];
}

}  // namespace
}  // namespace sluice
