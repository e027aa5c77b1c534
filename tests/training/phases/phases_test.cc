// What phases change of the steps that a trainer does.

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/safetensors.h"
#include "training/trainer.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

proto::Phase PhaseLike(const proto::JobConfig& job, const std::string& kind) {
  proto::Phase phase;
  phase.set_kind(kind);
  phase.set_name(kind);
  *phase.mutable_optimizer() = job.optimizer();
  *phase.mutable_schedule() = job.schedule();
  return phase;
}

std::map<std::string, std::string> Tensors(Trainer& trainer) {
  const std::string bytes = *trainer.SaveState(Step(0));
  std::map<std::string, std::string> tensors;
  const SafeTensors state = *ReadSafeTensors(bytes);
  for (const SafeTensor& tensor : state.tensors) {
    tensors[tensor.name] = std::string(tensor.bytes);
  }
  return tensors;
}

void Train(MemoryWorld& world, int64_t first, int64_t steps) {
  for (int64_t s = first; s < first + steps; ++s) {
    const auto loss = world.RunStep(Step(s));
    ASSERT_TRUE(loss.ok()) << loss.status();
  }
}

TEST(Phases, APhaseWithTheJobsSettingsChangesNothing) {
  const proto::JobConfig job = SyntheticJob();
  const auto one = *MemoryWorld::Create(job, 1);
  const auto two = *MemoryWorld::Create(job, 1);
  Train(*one, 0, 6);
  Train(*two, 0, 3);
  ASSERT_TRUE(two->trainer(0).BeginPhase(PhaseLike(job, "train"), Step(3), 47).ok());
  Train(*two, 3, 3);
  EXPECT_EQ(two->trainer(0).ParameterChecksum(), one->trainer(0).ParameterChecksum());
}

TEST(Phases, AFinetuneStartsWithFreshOptimizerState) {
  const proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  Train(*world, 0, 3);
  ASSERT_EQ(Tensors(world->trainer(0)).count("optimizer.momentum_buffer.fc2.bias"), 1u);
  ASSERT_TRUE(world->trainer(0).BeginPhase(PhaseLike(job, "finetune"), Step(3), 10).ok());
  EXPECT_EQ(Tensors(world->trainer(0)).count("optimizer.momentum_buffer.fc2.bias"), 0u);
}

TEST(Phases, AnotherOptimizerStartsAfresh) {
  const proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  Train(*world, 0, 2);
  proto::Phase phase = PhaseLike(job, "train");
  phase.mutable_optimizer()->set_kind("adam");
  phase.mutable_optimizer()->set_learning_rate(1e-3);
  ASSERT_TRUE(world->trainer(0).BeginPhase(phase, Step(2), 10).ok());
  Train(*world, 2, 2);
  EXPECT_EQ(Tensors(world->trainer(0)).count("optimizer.exp_avg.fc2.bias"), 1u);
}

TEST(Phases, FrozenParametersStayAndTheirGradientIsZero) {
  const proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 2);
  Train(*world, 0, 2);
  proto::Phase phase = PhaseLike(job, "finetune");
  phase.add_frozen("conv");
  for (int r = 0; r < 2; ++r) {
    ASSERT_TRUE(world->trainer(r).BeginPhase(phase, Step(2), 10).ok());
  }
  const auto before = Tensors(world->trainer(0));
  Train(*world, 2, 3);
  const auto after = Tensors(world->trainer(0));
  const auto& parameters = world->trainer(0).parameters();
  for (size_t p = 0; p < parameters.size(); ++p) {
    const std::string& name = parameters[p].name;
    const bool frozen = absl::StartsWith(name, "conv");
    EXPECT_EQ(before.at(name) == after.at(name), frozen) << name;
    if (!frozen) continue;
    for (float value : world->sink(0).gradients()[p]) ASSERT_EQ(value, 0) << name;
  }
  EXPECT_EQ(world->sink(0).ready().size(), parameters.size()) << "all are reduced";
  EXPECT_EQ(world->trainer(0).ParameterChecksum(), world->trainer(1).ParameterChecksum());
}

// Whether the first or the last parameters are frozen, and whatever state the optimiser keeps.
TEST(Phases, ARankThatComesLaterGoesOnWithWhatIsNotFrozen) {
  for (const char* frozen : {"conv", "fc"}) {
    for (const char* kind : {"sgd", "adam"}) {
      proto::JobConfig job = SyntheticJob();
      job.mutable_optimizer()->set_kind(kind);
      job.mutable_optimizer()->set_learning_rate(1e-3);
      const auto one = *MemoryWorld::Create(job, 1);
      const auto other = *MemoryWorld::Create(job, 1);
      Train(*one, 0, 2);
      proto::Phase phase = PhaseLike(job, "finetune");
      phase.add_frozen(frozen);
      ASSERT_TRUE(one->trainer(0).BeginPhase(phase, Step(2), 10).ok());
      Train(*one, 2, 2);
      ASSERT_TRUE(other->trainer(0).BeginPhase(phase, Step(2), 10).ok());
      const auto completed = other->trainer(0).LoadState(*one->trainer(0).SaveState(Step(4)));
      ASSERT_TRUE(completed.ok()) << completed.status();
      EXPECT_EQ(Tensors(other->trainer(0)), Tensors(one->trainer(0))) << frozen << " " << kind;
      Train(*one, 4, 2);
      Train(*other, 4, 2);
      EXPECT_EQ(other->trainer(0).ParameterChecksum(), one->trainer(0).ParameterChecksum())
          << frozen << " " << kind;
    }
  }
}

TEST(Phases, WhatWasFrozenIsTrainedAgain) {
  const proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  proto::Phase phase = PhaseLike(job, "finetune");
  phase.add_frozen("conv");
  ASSERT_TRUE(world->trainer(0).BeginPhase(phase, Step(0), 2).ok());
  Train(*world, 0, 2);
  ASSERT_TRUE(world->trainer(0).BeginPhase(PhaseLike(job, "train"), Step(2), 10).ok());
  const auto before = Tensors(world->trainer(0));
  Train(*world, 2, 1);
  EXPECT_NE(Tensors(world->trainer(0)).at("conv1.weight"), before.at("conv1.weight"));
}

TEST(Phases, LearningRatesCountFromThePhasesFirstStep) {
  proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  Train(*world, 0, 5);
  proto::Phase phase = PhaseLike(job, "finetune");
  phase.mutable_schedule()->set_kind("cosine");
  ASSERT_TRUE(world->trainer(0).BeginPhase(phase, Step(5), 10).ok());
  const uint64_t before = world->trainer(0).ParameterChecksum();
  world->sink(0).BeginStep();
  ASSERT_TRUE(world->trainer(0).ForwardBackward(Step(15)).ok());
  ASSERT_TRUE(world->trainer(0).ApplyGradients(Step(15)).ok());
  EXPECT_EQ(world->trainer(0).ParameterChecksum(), before) << "the rate is 0 from its end on";
  ASSERT_TRUE(world->trainer(0).ForwardBackward(Step(5)).ok());
  ASSERT_TRUE(world->trainer(0).ApplyGradients(Step(5)).ok());
  EXPECT_NE(world->trainer(0).ParameterChecksum(), before);
}

TEST(Phases, GradientsAreClippedAsThePhaseSays) {
  const proto::JobConfig job = SyntheticJob();
  const auto moved = [&](double clip_norm) {
    const auto world = *MemoryWorld::Create(job, 1);
    proto::Phase phase = PhaseLike(job, "train");
    phase.mutable_optimizer()->set_clip_norm(clip_norm);
    EXPECT_TRUE(world->trainer(0).BeginPhase(phase, Step(0), 10).ok());
    Train(*world, 0, 1);
    return world->trainer(0).ParameterChecksum();
  };
  EXPECT_NE(moved(1e-3), moved(0));
}

TEST(Phases, AFrozenPrefixOfNothingIsRefusedAndThePhaseBeforeGoesOn) {
  const proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  proto::Phase phase = PhaseLike(job, "finetune");
  phase.add_frozen("encoder.");
  const absl::Status status = world->trainer(0).BeginPhase(phase, Step(0), 10);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("no parameter's name starts with \"encoder.\"; the first is \"conv1.weight\""));
  Train(*world, 0, 1);
}

TEST(Phases, NothingLeftToTrainIsRefused) {
  const proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  proto::Phase phase = PhaseLike(job, "finetune");
  phase.add_frozen("conv");
  phase.add_frozen("fc");
  EXPECT_THAT(std::string(world->trainer(0).BeginPhase(phase, Step(0), 10).message()),
              HasSubstr("no parameter is left to train"));
}

}  // namespace
}  // namespace sluice
