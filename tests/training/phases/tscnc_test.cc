// What a phase of kind tscnc makes of the steps that trainers do.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/safetensors.h"
#include "training/trainer.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

proto::JobConfig SmallJob() {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("mlp");
  job.mutable_model()->set_width(16);
  job.mutable_optimizer()->set_weight_decay(1e-3);
  return job;
}

// 8 steps of two-step attacks, half of the weights pruned at its second step.
proto::Phase TscncOf(const proto::JobConfig& job) {
  proto::Phase phase;
  phase.set_kind("tscnc");
  phase.set_name("robust");
  *phase.mutable_optimizer() = job.optimizer();
  *phase.mutable_schedule() = job.schedule();
  proto::Tscnc& tscnc = *phase.mutable_tscnc();
  tscnc.set_loss("trades");
  tscnc.set_beta(6);
  tscnc.set_sparsity(0.5);
  tscnc.set_prune_begin(0.2);
  tscnc.set_prune_end(0.2);
  tscnc.mutable_attack()->set_eps(8.0 / 255);
  tscnc.mutable_attack()->set_alpha(4.0 / 255);
  tscnc.mutable_attack()->set_steps(2);
  tscnc.mutable_attack()->set_start("gauss");
  tscnc.mutable_cnc()->set_kind("amgm");
  tscnc.mutable_cnc()->set_lambda(0.01);
  tscnc.mutable_cnc()->set_delta(1e-6);
  tscnc.mutable_cnc()->set_every(10);
  tscnc.mutable_tsc()->set_lambda(1e-4);
  tscnc.mutable_tsc()->set_a(1);
  return phase;
}

std::unique_ptr<MemoryWorld> Begin(const proto::JobConfig& job, const proto::Phase& phase,
                                   int world_size) {
  auto world = *MemoryWorld::Create(job, world_size);
  for (int r = 0; r < world_size; ++r) {
    const absl::Status begun = world->trainer(r).BeginPhase(phase, Step(0), 8);
    EXPECT_TRUE(begun.ok()) << begun;
  }
  return world;
}

std::vector<double> Train(MemoryWorld& world, int64_t first, int64_t steps) {
  std::vector<double> losses;
  for (int64_t s = first; s < first + steps; ++s) {
    const auto loss = world.RunStep(Step(s));
    EXPECT_TRUE(loss.ok()) << loss.status();
    losses.push_back(loss.value_or(0));
  }
  return losses;
}

std::map<std::string, std::vector<float>> Values(Trainer& trainer) {
  const std::string bytes = *trainer.SaveState(Step(0));
  std::map<std::string, std::vector<float>> values;
  const SafeTensors state = *ReadSafeTensors(bytes);
  for (const SafeTensor& tensor : state.tensors) {
    if (tensor.dtype != "F32") continue;
    std::vector<float>& into = values[tensor.name];
    into.resize(tensor.bytes.size() / sizeof(float));
    std::copy(tensor.bytes.begin(), tensor.bytes.end(), reinterpret_cast<char*>(into.data()));
  }
  return values;
}

double ZeroShare(const std::vector<float>& values) {
  return static_cast<double>(std::count(values.begin(), values.end(), 0.0f)) /
         static_cast<double>(values.size());
}

TEST(Tscnc, EveryLossTrains) {
  const proto::JobConfig job = SmallJob();
  for (const char* loss : {"clean", "at", "trades", "mart"}) {
    proto::Phase phase = TscncOf(job);
    phase.mutable_tscnc()->set_loss(loss);
    const auto world = Begin(job, phase, 1);
    const std::vector<double> losses = Train(*world, 0, 8);
    EXPECT_LT(losses.back(), losses.front()) << loss;
  }
}

TEST(Tscnc, WithoutAttackConstraintsAndPruningItIsTraining) {
  const proto::JobConfig job = SmallJob();
  proto::Phase phase = TscncOf(job);
  phase.mutable_tscnc()->set_loss("clean");
  phase.mutable_tscnc()->set_sparsity(0);
  phase.mutable_tscnc()->mutable_cnc()->set_lambda(0);
  phase.mutable_tscnc()->mutable_tsc()->set_lambda(0);
  const auto one = Begin(job, phase, 1);
  const auto plain = *MemoryWorld::Create(job, 1);
  EXPECT_EQ(Train(*one, 0, 4), Train(*plain, 0, 4));
  EXPECT_EQ(one->trainer(0).ParameterChecksum(), plain->trainer(0).ParameterChecksum());
}

TEST(Tscnc, PrunedWeightsStayZeroUnderMomentumAndWeightDecay) {
  const proto::JobConfig job = SmallJob();
  const auto world = Begin(job, TscncOf(job), 1);
  Train(*world, 0, 1);
  EXPECT_EQ(ZeroShare(Values(world->trainer(0)).at("fc1.weight")), 0) << "not pruned yet";
  Train(*world, 1, 1);
  const auto before = Values(world->trainer(0));
  Train(*world, 2, 6);
  const auto after = Values(world->trainer(0));
  for (const char* name : {"fc1.weight", "fc2.weight", "fc3.weight"}) {
    EXPECT_NEAR(ZeroShare(before.at(name)), 0.5, 1e-3) << name;
    for (size_t i = 0; i < before.at(name).size(); ++i) {
      ASSERT_EQ(before.at(name)[i] == 0, after.at(name)[i] == 0) << name << " " << i;
    }
  }
  EXPECT_EQ(ZeroShare(after.at("fc2.bias")), 0) << "biases are not pruned";
}

TEST(Tscnc, TheGradientOfWhatIsPrunedIsZero) {
  const proto::JobConfig job = SmallJob();
  const auto world = Begin(job, TscncOf(job), 1);
  Train(*world, 0, 3);
  const auto& parameters = world->trainer(0).parameters();
  const auto weights = Values(world->trainer(0));
  for (size_t p = 0; p < parameters.size(); ++p) {
    const std::vector<float>& weight = weights.at(parameters[p].name);
    for (size_t i = 0; i < weight.size(); ++i) {
      if (weight[i] == 0 && parameters[p].shape.size() > 1) {
        ASSERT_EQ(world->sink(0).gradients()[p][i], 0) << parameters[p].name;
      }
    }
  }
}

TEST(Tscnc, TheClassifierKeepsATenth) {
  const proto::JobConfig job = SmallJob();
  proto::Phase phase = TscncOf(job);
  phase.mutable_tscnc()->set_sparsity(0.98);
  const auto world = Begin(job, phase, 1);
  Train(*world, 0, 3);
  const auto values = Values(world->trainer(0));
  EXPECT_NEAR(ZeroShare(values.at("fc1.weight")), 0.98, 1e-3);
  EXPECT_NEAR(ZeroShare(values.at("fc3.weight")), 0.9, 0.01);
}

TEST(Tscnc, ResultsDoNotDependOnTheWorldsSize) {
  const proto::JobConfig job = SmallJob();
  const auto one = Begin(job, TscncOf(job), 1), four = Begin(job, TscncOf(job), 4);
  const std::vector<double> of_one = Train(*one, 0, 8), of_four = Train(*four, 0, 8);
  for (size_t s = 0; s < of_one.size(); ++s) {
    EXPECT_NEAR(of_four[s] / of_one[s], 1, 1e-3) << "step " << s;
  }
  for (int r = 1; r < 4; ++r) {
    EXPECT_EQ(four->trainer(r).ParameterChecksum(), four->trainer(0).ParameterChecksum());
  }
}

// The constraint counts once a step, and wholly, whoever computes it and in however many parts.
TEST(Tscnc, ConstraintsCountOnceAStep) {
  proto::JobConfig job = SmallJob();
  proto::Phase phase = TscncOf(job);
  phase.mutable_tscnc()->set_loss("clean");
  phase.mutable_tscnc()->mutable_cnc()->set_lambda(1);
  const std::vector<double> once = Train(*Begin(job, phase, 1), 0, 3);
  job.mutable_training()->set_accumulation_steps(4);
  const std::vector<double> in_parts = Train(*Begin(job, phase, 3), 0, 3);
  for (size_t s = 0; s < once.size(); ++s) EXPECT_NEAR(in_parts[s] / once[s], 1, 1e-4);
}

TEST(Tscnc, ARankThatComesLaterGoesOnWithTheSameBits) {
  const proto::JobConfig job = SmallJob();
  for (const int64_t at : {1, 2, 5}) {
    const auto one = Begin(job, TscncOf(job), 1), other = Begin(job, TscncOf(job), 1);
    Train(*one, 0, at);
    const auto loaded = other->trainer(0).LoadState(*one->trainer(0).SaveState(Step(at)));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(Train(*other, at, 8 - at), Train(*one, at, 8 - at)) << "at " << at;
    EXPECT_EQ(other->trainer(0).ParameterChecksum(), one->trainer(0).ParameterChecksum());
  }
}

TEST(Tscnc, AnotherPhaseTrainsWhatWasPruned) {
  const proto::JobConfig job = SmallJob();
  const auto world = Begin(job, TscncOf(job), 1);
  Train(*world, 0, 8);
  proto::Phase phase = TscncOf(job);
  phase.set_kind("train");
  ASSERT_TRUE(world->trainer(0).BeginPhase(phase, Step(8), 4).ok());
  Train(*world, 8, 2);
  EXPECT_LT(ZeroShare(Values(world->trainer(0)).at("fc2.weight")), 0.4);
}

TEST(Tscnc, TrainsInBf16) {
  proto::JobConfig job = SmallJob();
  job.mutable_training()->set_precision("bf16");
  const auto world = Begin(job, TscncOf(job), 1);
  const std::vector<double> losses = Train(*world, 0, 8);
  EXPECT_LT(losses.back(), losses.front());
}

TEST(Tscnc, ALayerThatThereIsNotIsNamed) {
  const proto::JobConfig job = SmallJob();
  proto::Phase phase = TscncOf(job);
  phase.mutable_tscnc()->mutable_cnc()->add_layers("head.");
  const auto world = *MemoryWorld::Create(job, 1);
  EXPECT_THAT(std::string(world->trainer(0).BeginPhase(phase, Step(0), 8).message()),
              HasSubstr("no layer's weight has a name that starts with \"head.\"; the first is "
                        "\"fc1.weight\""));
}

}  // namespace
}  // namespace sluice
