// When a trainer calls what a phase may override, and what becomes of it.

#include <torch/types.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/phases/phase.h"
#include "training/trainer_with_phases.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

// What the phases of a test do, all of them.
struct Script {
  std::vector<std::string> calls;
  std::function<void(at::Tensor& weight)> before_step;
  std::function<at::Tensor(const Batch& batch, const at::Tensor& logits, const at::Tensor& weight)>
      loss_term;
  std::vector<float> weight_before, weight_after;  // one value, at every step
  absl::Status prepared, finished;
};

class ScriptedPhase : public TrainingPhase {
 public:
  ScriptedPhase(std::string name, Script* script) : name_(std::move(name)), script_(*script) {}

  absl::Status Prepare(const PhaseModel& model) override {
    script_.calls.push_back(absl::StrCat("prepare ", name_));
    for (const NamedParameter& parameter : model.parameters) {
      if (parameter.name == "fc2.weight") weight_ = parameter.tensor;
    }
    return script_.prepared;
  }
  void BeforeStep(Step step) override {
    script_.calls.push_back(absl::StrCat("before ", step.value));
    const torch::NoGradGuard no_gradients;
    if (script_.before_step) script_.before_step(weight_);
    script_.weight_before.push_back(weight_[0][0].item<float>());
  }
  at::Tensor LossTerm(const Batch& batch, const at::Tensor& logits) override {
    script_.calls.push_back(absl::StrCat("loss of ", batch.size()));
    return script_.loss_term ? script_.loss_term(batch, logits, weight_) : at::Tensor();
  }
  void AfterStep(Step step) override {
    script_.calls.push_back(absl::StrCat("after ", step.value));
    script_.weight_after.push_back(weight_[0][0].item<float>());
  }
  absl::Status Finish() override {
    script_.calls.push_back(absl::StrCat("finish ", name_));
    return script_.finished;
  }

 private:
  const std::string name_;
  Script& script_;
  at::Tensor weight_;
};

proto::Phase Named(const proto::JobConfig& job, const std::string& name) {
  proto::Phase phase;
  phase.set_name(name);
  *phase.mutable_optimizer() = job.optimizer();
  *phase.mutable_schedule() = job.schedule();
  return phase;
}

// A world in a phase "a" from step 0 on.
std::unique_ptr<MemoryWorld> Make(const proto::JobConfig& job, int ranks, Script* script) {
  auto world =
      *MemoryWorld::Create(job, ranks, [&](const proto::JobConfig& job, Rank rank, int world_size) {
        return CreateTrainerWithPhases(
            job, rank, world_size,
            [script](const proto::Phase& phase, Step,
                     int64_t) -> absl::StatusOr<std::unique_ptr<TrainingPhase>> {
              return std::make_unique<ScriptedPhase>(phase.name(), script);
            });
      });
  for (int r = 0; r < ranks; ++r) {
    EXPECT_TRUE(world->trainer(r).BeginPhase(Named(job, "a"), Step(0), 50).ok());
  }
  return world;
}

size_t IndexOf(const Trainer& trainer, const std::string& name) {
  for (size_t i = 0; i < trainer.parameters().size(); ++i) {
    if (trainer.parameters()[i].name == name) return i;
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

TEST(PhaseHooks, BeforeStepSeesWhatTheLastStepLeftAndAfterStepWhatTheOptimizerDid) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  const auto world = Make(job, 1, &script);
  for (int s = 0; s < 3; ++s) ASSERT_TRUE(world->RunStep(Step(s)).ok());
  EXPECT_THAT(script.calls,
              ElementsAre("prepare a", "before 0", "loss of 16", "after 0", "before 1",
                          "loss of 16", "after 1", "before 2", "loss of 16", "after 2"));
  for (int s = 0; s < 3; ++s) {
    EXPECT_NE(script.weight_after[s], script.weight_before[s]);
    if (s > 0) {
      EXPECT_EQ(script.weight_before[s], script.weight_after[s - 1]);
    }
  }
}

TEST(PhaseHooks, APhaseThatIsAskedForBeforehandIsPreparedAndDoesNotBegin) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  const auto world = Make(job, 1, &script);
  script.prepared = absl::InvalidArgumentError("does not fit");
  const absl::Status asked = world->trainer(0).CheckPhase(Named(job, "b"), 10);
  EXPECT_EQ(asked.code(), absl::StatusCode::kInvalidArgument);
  script.prepared = absl::OkStatus();
  EXPECT_TRUE(world->trainer(0).CheckPhase(Named(job, "c"), 10).ok());
  EXPECT_THAT(script.calls, ElementsAre("prepare a", "prepare b", "prepare c"));
}

TEST(PhaseHooks, WhatBeforeStepDoesToParametersIsInThisStepsForward) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  const auto world = Make(job, 1, &script);
  const double plain = *world->RunStep(Step(0));
  script.before_step = [](at::Tensor& weight) { weight.zero_(); };
  const double zeroed = *world->RunStep(Step(0));  // biases alone are left
  EXPECT_NE(zeroed, plain);
  EXPECT_NEAR(zeroed, std::log(10.0), 0.05);
}

TEST(PhaseHooks, ALossTermIsInTheLossAndInTheGradient) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  std::vector<float> weight;
  const auto world = Make(job, 1, &script);
  world->sink(0).BeginStep();
  const double plain_loss = *world->trainer(0).ForwardBackward(Step(0));
  const size_t index = IndexOf(world->trainer(0), "fc2.weight");
  const std::vector<float> plain = world->sink(0).gradients()[index];
  double squares = 0;
  script.loss_term = [&](const Batch& batch, const at::Tensor&, const at::Tensor& w) {
    const at::Tensor values = w.detach().contiguous();
    weight.assign(values.data_ptr<float>(), values.data_ptr<float>() + values.numel());
    squares = values.square().sum().item<double>();
    return 0.5 * w.square().sum() * batch.size();
  };
  world->sink(0).BeginStep();
  const double loss = *world->trainer(0).ForwardBackward(Step(0));
  EXPECT_NEAR(loss - plain_loss, 0.5 * squares, 1e-4);
  for (size_t i = 0; i < plain.size(); ++i) {
    ASSERT_NEAR(world->sink(0).gradients()[index][i] - plain[i], weight[i], 1e-5);
  }
}

// A term of the parameters and one of the samples.
TEST(PhaseHooks, ALossTermCountsOnceHoweverTheBatchIsCut) {
  proto::JobConfig job = SyntheticJob();
  Script script;
  script.loss_term = [](const Batch& batch, const at::Tensor& logits, const at::Tensor& weight) {
    return 0.1 * weight.square().sum() * batch.size() + 0.01 * logits.square().sum();
  };
  const auto run = [&](int ranks, int micro_batches, std::vector<double>& losses) {
    job.mutable_training()->set_accumulation_steps(micro_batches);
    const auto world = Make(job, ranks, &script);
    for (int s = 0; s < 8; ++s) losses.push_back(*world->RunStep(Step(s)));
  };
  std::vector<double> whole;
  run(1, 1, whole);
  for (const auto& [ranks, micro_batches] :
       std::vector<std::pair<int, int>>{{1, 3}, {2, 1}, {3, 2}}) {
    std::vector<double> cut;
    run(ranks, micro_batches, cut);
    for (size_t s = 0; s < whole.size(); ++s) {
      EXPECT_NEAR(cut[s], whole[s], 1e-5 * whole[s]) << ranks << " ranks, step " << s;
    }
  }
}

TEST(PhaseHooks, ALossTermIsAskedForEveryMicroBatch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_accumulation_steps(3);
  Script script;
  const auto world = Make(job, 1, &script);
  ASSERT_TRUE(world->RunStep(Step(0)).ok());
  EXPECT_THAT(script.calls, ElementsAre("prepare a", "before 0", "loss of 5", "loss of 5",
                                        "loss of 6", "after 0"));
}

TEST(PhaseHooks, APhaseIsFinishedWhenTheNextOneIsPrepared) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  const auto world = Make(job, 1, &script);
  script.calls.clear();
  ASSERT_TRUE(world->trainer(0).BeginPhase(Named(job, "b"), Step(0), 10).ok());
  EXPECT_THAT(script.calls, ElementsAre("prepare b", "finish a"));
}

TEST(PhaseHooks, APhaseThatCannotBePreparedLeavesTheOneBeforeUnfinished) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  const auto world = Make(job, 1, &script);
  script.calls.clear();
  script.prepared = absl::InvalidArgumentError("no such layer");
  EXPECT_EQ(world->trainer(0).BeginPhase(Named(job, "b"), Step(0), 10), script.prepared);
  EXPECT_THAT(script.calls, ElementsAre("prepare b"));
  ASSERT_TRUE(world->RunStep(Step(0)).ok());
}

TEST(PhaseHooks, WhatFinishFailsWithIsWhatTheNextPhasesBeginFailsWith) {
  const proto::JobConfig job = SyntheticJob();
  Script script;
  const auto world = Make(job, 1, &script);
  script.finished = absl::InternalError("cannot be finished");
  EXPECT_EQ(world->trainer(0).BeginPhase(Named(job, "b"), Step(0), 10), script.finished);
}

}  // namespace
}  // namespace sluice
