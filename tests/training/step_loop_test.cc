#include "training/step_loop.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Two tensors that move against their mean gradient, and a buffer that every forward changes.
class FakeTrainer : public Trainer {
 public:
  FakeTrainer(Rank rank, int64_t steps) : rank_(rank), steps_(steps) {}

  const std::vector<ParameterInfo>& parameters() const override { return infos_; }
  void Attach(GradientSink& sink) override { sink_ = &sink; }
  void ShareStatistics(SumOverRanks) override {}
  int64_t StepsOf(double) const override { return steps_; }
  absl::Status CheckPhase(const proto::Phase&, int64_t) override { return absl::OkStatus(); }
  absl::Status BeginPhase(const proto::Phase&, Step, int64_t) override { return absl::OkStatus(); }
  absl::Status LoadBatch(Step) override { return absl::OkStatus(); }
  absl::StatusOr<double> ForwardBackward(Step step) override {
    buffer_[0] += 1;
    if (bad_losses.count(step.value) > 0) {
      buffer_[0] = kNaN;
      return absl::OutOfRangeError("the loss is nan; training diverged");
    }
    for (int t = 0; t < 2; ++t) {
      const absl::Span<float> gradient = sink_->gradient(t);
      for (size_t i = 0; i < gradient.size(); ++i) {
        gradient[i] = TestGradient(step, t, rank_, static_cast<int64_t>(i));
      }
      if (bad_gradients.count(step.value) > 0 && t == 1) gradient[3] = kNaN;
      sink_->Ready(t);
    }
    return 1.0;
  }
  absl::Status ApplyGradients(Step) override {
    for (int t = 0; t < 2; ++t) {
      for (float value : sink_->gradient(t)) sum_ += value;
    }
    return sink_->Forget(forget);
  }
  std::vector<absl::Span<float>> FloatBuffers() override { return {absl::MakeSpan(buffer_)}; }
  uint64_t ModelFileDigest() const override { return 0; }
  uint64_t ParameterChecksum() const override { return static_cast<uint64_t>(1e6 * sum_); }
  absl::StatusOr<proto::Evaluation> EvaluateShard() override { return proto::Evaluation(); }
  absl::StatusOr<Step> RestoreCheckpoint(const std::string&) override { return Step(0); }
  absl::StatusOr<std::string> SaveState(Step) override { return std::string(); }
  absl::StatusOr<Step> LoadState(absl::string_view) override { return Step(0); }
  absl::Status SetWorld(Rank, int) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<CheckpointBlob>> CheckpointFiles(Step) override {
    return std::vector<CheckpointBlob>();
  }
  absl::Status RestoreBuffers(const std::string&) override { return absl::OkStatus(); }

  double sum() const { return sum_; }
  float buffer() const { return buffer_[0]; }

  std::map<int64_t, int> bad_losses;
  std::map<int64_t, int> bad_gradients;
  std::vector<ElementRun> forget;  // after every step

 private:
  const Rank rank_;
  const int64_t steps_;
  const std::vector<ParameterInfo> infos_ = {{"fc.weight", {100}}, {"conv.weight", {300}}};
  GradientSink* sink_ = nullptr;
  double sum_ = 0;
  std::vector<float> buffer_ = {0};
};

struct Outcome {
  std::vector<absl::Status> status;
  std::vector<double> sums;
  std::vector<float> buffers;
  std::vector<std::vector<int64_t>> skipped;
};

Outcome Train(int ranks, int64_t steps, const StepGuards& guards,
              const std::function<void(Rank, FakeTrainer&)>& prepare) {
  World world;
  world.tensors = {{"fc.weight", 100}, {"conv.weight", 300}};
  world.bucket_bytes = 400;
  world.options.world_size = ranks;
  world.options.skip_not_finite = guards.skip_not_finite;
  Outcome outcome;
  outcome.status.resize(static_cast<size_t>(ranks));
  outcome.sums.resize(static_cast<size_t>(ranks));
  outcome.buffers.resize(static_cast<size_t>(ranks));
  outcome.skipped.resize(static_cast<size_t>(ranks));
  world.Run([&](Rank rank, Reducer& reducer) {
    const auto r = static_cast<size_t>(rank.value);
    FakeTrainer trainer(rank, steps);
    prepare(rank, trainer);
    outcome.status[r] = RunSteps(
        trainer, reducer, Step(0), [&] { return trainer.StepsOf(1); }, 0, [](Step) { return true; },
        [&](const StepOutcome& step) {
          if (step.skipped) outcome.skipped[r].push_back(step.step.value);
        },
        guards);
    outcome.sums[r] = trainer.sum();
    outcome.buffers[r] = trainer.buffer();
  });
  return outcome;
}

StepGuards Skipping(int most) {
  StepGuards guards;
  guards.skip_not_finite = true;
  guards.max_skipped_steps = most;
  return guards;
}

TEST(StepLoop, WhatATrainerForgetsIsNoLongerOwed) {
  World world;
  world.tensors = {{"fc.weight", 100}, {"conv.weight", 300}};
  world.bucket_bytes = 400;
  world.options.world_size = 2;
  world.Run([&](Rank rank, Reducer& reducer) {
    const CodecConfig codec = {CodecKind::kMaxMin, 4, 512};
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), codec)).ok());
    FakeTrainer trainer(rank, 5);
    trainer.forget = {{1, 20, 30}, {0, 0, 100}, {1, 200, 10}};
    ASSERT_TRUE(RunSteps(
                    trainer, reducer, Step(0), [] { return 5; }, 0, [](Step) { return true; },
                    [](const StepOutcome&) {})
                    .ok());
    EXPECT_THAT(reducer.residual(0), Each(0.0f));
    const std::vector<float> residual = reducer.residual(1);
    EXPECT_THAT(std::vector<float>(residual.begin() + 20, residual.begin() + 50), Each(0.0f));
    EXPECT_THAT(std::vector<float>(residual.begin() + 200, residual.begin() + 210), Each(0.0f));
    EXPECT_NE(std::count(residual.begin(), residual.end(), 0.0f), 300);
  });
}

TEST(StepLoop, ABadGradientStopsAllRanksAtTheSameStepAndTheCulpritSaysMost) {
  for (int ranks : {1, 2, 4}) {
    const Outcome outcome = Train(ranks, 10, {}, [&](Rank rank, FakeTrainer& trainer) {
      if (rank == Rank(ranks - 1)) trainer.bad_gradients[4];
    });
    for (int r = 0; r < ranks; ++r) {
      const absl::Status& status = outcome.status[static_cast<size_t>(r)];
      EXPECT_EQ(status.code(),
                r == ranks - 1 ? absl::StatusCode::kOutOfRange : absl::StatusCode::kCancelled);
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr("SL3001 step 4"), HasSubstr(absl::StrCat("rank ", ranks - 1)),
                        HasSubstr("first in \"conv.weight\""), HasSubstr("before compression")));
    }
    EXPECT_THAT(outcome.sums, Each(outcome.sums[0]));
  }
}

TEST(StepLoop, ABadLossStopsAllRanksAtTheSameStep) {
  const Outcome outcome = Train(3, 10, {}, [](Rank rank, FakeTrainer& trainer) {
    if (rank == Rank(1)) trainer.bad_losses[2];
  });
  EXPECT_THAT(
      std::string(outcome.status[1].message()),
      AllOf(HasSubstr("SL3001 step 2: the loss of rank 1"), HasSubstr("training diverged")));
  EXPECT_EQ(outcome.status[1].code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(outcome.status[0].code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(outcome.status[2].code(), absl::StatusCode::kCancelled);
}

TEST(StepLoop, SkippedStepsLeaveParametersAndBuffersAsTheyWere) {
  const Outcome outcome = Train(3, 10, Skipping(2), [](Rank rank, FakeTrainer& trainer) {
    if (rank == Rank(0)) trainer.bad_gradients[4];
    if (rank == Rank(2)) trainer.bad_losses[5];
  });
  EXPECT_THAT(outcome.status, Each(absl::OkStatus()));
  EXPECT_THAT(outcome.skipped, Each(std::vector<int64_t>{4, 5}));
  EXPECT_THAT(outcome.sums, Each(outcome.sums[0]));
  EXPECT_TRUE(std::isfinite(outcome.sums[0]));
  EXPECT_THAT(outcome.buffers, Each(8.0f));
}

TEST(StepLoop, TooManyInARowEndTheJobAndOthersDoNotCount) {
  const Outcome three = Train(2, 20, Skipping(2), [](Rank rank, FakeTrainer& trainer) {
    for (int64_t step : {3, 4, 6, 7, 9, 10, 11}) {
      if (rank == Rank(1)) trainer.bad_gradients[step];
    }
  });
  EXPECT_THAT(three.skipped, Each(std::vector<int64_t>{3, 4, 6, 7, 9, 10}));
  EXPECT_THAT(std::string(three.status[1].message()),
              AllOf(HasSubstr("step 11"), HasSubstr("3 steps in a row")));
  EXPECT_FALSE(three.status[0].ok());
}

TEST(StepLoop, AGuardMayPoisonAGradient) {
  StepGuards guards;
  guards.on_gradient = [](Step step, int tensor, absl::Span<float> gradient) {
    if (step == Step(6) && tensor == 0) gradient[0] = kNaN;
  };
  const Outcome outcome = Train(2, 10, guards, [](Rank, FakeTrainer&) {});
  EXPECT_THAT(std::string(outcome.status[0].message()),
              HasSubstr("SL3001 step 6: the gradient of ranks 0, 1 is not finite"));
}

TEST(StepLoop, TheProbeIsToldThePhases) {
  ProgressProbe probe([] { return absl::UnixEpoch(); });
  StepGuards guards;
  guards.probe = &probe;
  std::vector<proto::WorkPhase> seen;
  guards.on_gradient = [&](Step, int, absl::Span<float>) { seen.push_back(probe.Read().phase()); };
  ASSERT_TRUE(Train(1, 2, guards, [](Rank, FakeTrainer&) {}).status[0].ok());
  EXPECT_THAT(seen, Each(proto::WORK_PHASE_COMPUTE));
  EXPECT_EQ(probe.Read().phase(), proto::WORK_PHASE_OPTIMIZER);
  EXPECT_EQ(probe.Read().step(), 1);
}

}  // namespace
}  // namespace sluice
