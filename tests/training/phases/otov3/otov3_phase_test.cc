// Pruning as a phase of real trainers: a small multi-layer perceptron whose hidden units are the groups.

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/checkpoint.h"
#include "training/checkpoint_parts.h"
#include "training/phases/otov3/otov3.h"
#include "training/safetensors.h"
#include "training/trainer_with_phases.h"

namespace sluice {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr int64_t kFirst = 2;   // of the phase
constexpr int64_t kSteps = 30;  // of it
constexpr int kWidth = 24;

proto::JobConfig Job(const std::string& optimizer) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("mlp");
  job.mutable_model()->set_width(kWidth);
  job.mutable_model()->set_depth(2);
  job.mutable_training()->set_ema_decay(0.5);
  job.mutable_optimizer()->set_kind(optimizer);
  job.mutable_optimizer()->set_learning_rate(optimizer == "sgd" ? 0.02 : 2e-3);
  job.mutable_optimizer()->set_nesterov("on");
  job.mutable_optimizer()->set_weight_decay(0.01);
  return job;
}

absl::StatusOr<otov3::PruneSpace> HiddenUnits(const PhaseModel&) {
  std::vector<graph::Group> groups;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string name = layer == 0 ? "fc1" : "fc2";
    for (int32_t u = 0; u < kWidth; ++u) {
      groups.push_back({layer, u, {{name + ".weight", 0, {u}}, {name + ".bias", 0, {u}}}, 0, 0});
    }
  }
  return otov3::PruneSpace{std::move(groups), nullptr};
}

// Trainers that know the phase; it is the last of `phases` of each rank's.
struct PrunedWorld {
  std::vector<const Otov3Phase*> phases;
  std::unique_ptr<MemoryWorld> world;

  PrunedWorld(const proto::JobConfig& job, int ranks, otov3::Variant variant) {
    otov3::PruneSettings settings;
    settings.variant = variant;
    settings.hesso_scores = variant == otov3::Variant::kHesso;
    settings.rules = {0.5, 1, 0.9};
    settings.periods = 3;
    settings.half_space = otov3::RuleFor(job.optimizer().kind());
    const PhaseMaker make = [this, settings](
                                const proto::Phase& phase, Step first,
                                int64_t steps) -> absl::StatusOr<std::unique_ptr<TrainingPhase>> {
      if (phase.kind() != "otov3") return AllPhases()(phase, first, steps);
      auto made = std::make_unique<Otov3Phase>(settings, first, steps, HiddenUnits);
      phases.push_back(made.get());
      return std::unique_ptr<TrainingPhase>(std::move(made));
    };
    world = *MemoryWorld::Create(job, ranks,
                                 [&](const proto::JobConfig& of, Rank rank, int world_size) {
                                   return CreateTrainerWithPhases(of, rank, world_size, make);
                                 });
  }

  // On all ranks.
  void Begin(const proto::JobConfig& job) {
    proto::Phase phase;
    phase.set_kind("otov3");
    phase.set_name("prune");
    *phase.mutable_optimizer() = job.optimizer();
    *phase.mutable_schedule() = job.schedule();
    for (int r = 0; r < world->size(); ++r) {
      const absl::Status begun = world->trainer(r).BeginPhase(phase, Step(kFirst), kSteps);
      ASSERT_TRUE(begun.ok()) << begun;
    }
  }

  void Train(int64_t first, int64_t end) {
    for (int64_t s = first; s < end; ++s) {
      const auto loss = world->RunStep(Step(s));
      ASSERT_TRUE(loss.ok()) << loss.status();
    }
  }

  const otov3::GroupPruner& pruner(int rank) const {
    return phases[phases.size() - static_cast<size_t>(world->size()) + static_cast<size_t>(rank)]
        ->pruner();
  }
};

std::map<std::string, std::vector<float>> FloatTensors(Trainer& trainer) {
  const std::string bytes = *trainer.SaveState(Step(0));
  std::map<std::string, std::vector<float>> tensors;
  const SafeTensors state = *ReadSafeTensors(bytes);
  for (const SafeTensor& tensor : state.tensors) {
    if (tensor.dtype != "F32") continue;
    std::vector<float>& values = tensors[tensor.name];
    values.resize(tensor.bytes.size() / sizeof(float));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  }
  return tensors;
}

class Otov3PhaseTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Optimizers, Otov3PhaseTest,
                         testing::Values("sgd", "adam", "adamw", "lamb"));

TEST_P(Otov3PhaseTest, AllThatIsKeptOfPrunedUnitsIsZeroAndStaysSo) {
  const proto::JobConfig job = Job(GetParam());
  PrunedWorld pruned(job, 1, otov3::Variant::kDhspg);
  pruned.Train(0, kFirst);
  pruned.Begin(job);
  pruned.Train(kFirst, kFirst + 24);
  ASSERT_EQ(pruned.pruner(0).zeros(), kWidth);  // half of two layers
  for (int64_t s = kFirst + 24; s < kFirst + kSteps; ++s) {
    pruned.Train(s, s + 1);
    int checked = 0;
    for (const auto& [name, values] : FloatTensors(pruned.world->trainer(0))) {
      const bool first = name.find("fc1.") != std::string::npos;
      if (!first && name.find("fc2.") == std::string::npos) continue;
      const size_t row = values.size() / kWidth;
      for (size_t u = 0; u < kWidth; ++u) {
        const bool zero = std::all_of(values.begin() + static_cast<int64_t>(u * row),
                                      values.begin() + static_cast<int64_t>((u + 1) * row),
                                      [](float value) { return value == 0; });
        if (pruned.pruner(0).zero()[(first ? 0 : kWidth) + u]) {
          EXPECT_TRUE(zero) << name << " of unit " << u;
          ++checked;
        } else if (name == "fc1.weight" || name == "fc2.weight") {
          EXPECT_FALSE(zero) << name << " of unit " << u;
        }
      }
    }
    // Weights and biases: parameters, averages, and one or two moments.
    EXPECT_EQ(checked, kWidth * 2 * (GetParam() == "sgd" ? 3 : 4));
  }
}

TEST_P(Otov3PhaseTest, ReplicasDecideAlike) {
  const proto::JobConfig job = Job(GetParam());
  PrunedWorld pruned(job, 2, otov3::Variant::kDhspg);
  pruned.Train(0, kFirst);
  pruned.Begin(job);
  pruned.Train(kFirst, kFirst + kSteps);
  EXPECT_EQ(pruned.pruner(0).log().digest(), pruned.pruner(1).log().digest());
  EXPECT_EQ(pruned.world->trainer(0).ParameterChecksum(),
            pruned.world->trainer(1).ParameterChecksum());
}

TEST_P(Otov3PhaseTest, ARankThatComesLaterGoesOnWithTheSameBits) {
  const proto::JobConfig job = Job(GetParam());
  for (const otov3::Variant variant : {otov3::Variant::kDhspg, otov3::Variant::kHesso}) {
    for (int64_t stop : {kFirst + 2, kFirst + 10, kFirst + 21}) {
      PrunedWorld whole(job, 1, variant), later(job, 1, variant);
      whole.Train(0, kFirst);
      whole.Begin(job);
      whole.Train(kFirst, stop);
      later.Begin(job);
      const auto completed =
          later.world->trainer(0).LoadState(*whole.world->trainer(0).SaveState(Step(stop)));
      ASSERT_TRUE(completed.ok()) << completed.status();
      whole.Train(stop, kFirst + kSteps);
      later.Train(stop, kFirst + kSteps);
      EXPECT_EQ(*later.world->trainer(0).SaveState(Step(0)),
                *whole.world->trainer(0).SaveState(Step(0)))
          << "from step " << stop;
    }
  }
}

// What ranks sum is the same but for the order, in which a score's last bits may differ: no more than that.
TEST(Otov3Phase, OneRankAndTwoPruneTheSameUnits) {
  const proto::JobConfig job = Job("sgd");
  PrunedWorld one(job, 1, otov3::Variant::kDhspg), two(job, 2, otov3::Variant::kDhspg);
  for (PrunedWorld* pruned : {&one, &two}) {
    pruned->Train(0, kFirst);
    pruned->Begin(job);
    pruned->Train(kFirst, kFirst + kSteps);
  }
  EXPECT_EQ(one.pruner(0).zero(), two.pruner(0).zero());
}

TEST(Otov3Phase, AResumedJobGoesOnFromItsCheckpoint) {
  const proto::JobConfig job = Job("adam");
  const int64_t stop = kFirst + 20;
  PrunedWorld whole(job, 1, otov3::Variant::kDhspg), resumed(job, 1, otov3::Variant::kDhspg);
  whole.Train(0, kFirst);
  whole.Begin(job);
  whole.Train(kFirst, stop);
  const std::string root = FreshDirectory("otov3");
  const auto files =
      WritePart(root, Step(stop), *whole.world->trainer(0).CheckpointFiles(Step(stop)));
  ASSERT_TRUE(files.ok()) << files.status();
  proto::CheckpointManifest manifest;
  manifest.set_step(stop);
  manifest.set_world_size(1);
  const auto path = CommitCheckpoint(root, manifest, *files, 1);
  ASSERT_TRUE(path.ok()) << path.status();
  resumed.Begin(job);
  const auto completed = resumed.world->trainer(0).RestoreCheckpoint(*path);
  ASSERT_TRUE(completed.ok()) << completed.status();
  whole.Train(stop, kFirst + kSteps);
  resumed.Train(stop, kFirst + kSteps);
  EXPECT_EQ(resumed.world->trainer(0).ParameterChecksum(),
            whole.world->trainer(0).ParameterChecksum());
}

TEST(Otov3Phase, AStateOfAnotherPhaseIsRefusedInTheMiddle) {
  const proto::JobConfig job = Job("sgd");
  PrunedWorld plain(job, 1, otov3::Variant::kDhspg), pruned(job, 1, otov3::Variant::kDhspg);
  plain.Train(0, kFirst + 5);
  const std::string state = *plain.world->trainer(0).SaveState(Step(kFirst + 5));
  pruned.Begin(job);
  const auto loaded = pruned.world->trainer(0).LoadState(state);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("no state of phase prune"));
}

TEST(Otov3Phase, GradientsOfPrunedUnitsLeaveAsZerosAndTheirResidualsAreForgotten) {
  const proto::JobConfig job = Job("sgd");
  PrunedWorld pruned(job, 2, otov3::Variant::kDhspg);
  pruned.Train(0, kFirst);
  pruned.Begin(job);
  pruned.Train(kFirst, kFirst + kSteps);
  const auto& runs = pruned.world->sink(0).forgotten();
  EXPECT_EQ(runs.size(), 2u * kWidth) << "a row and a bias of each";
  for (int r = 0; r < 2; ++r) {
    for (const ElementRun& run : runs) {
      const auto& gradient = pruned.world->sink(r).at_ready()[static_cast<size_t>(run.parameter)];
      EXPECT_THAT(
          std::vector<float>(gradient.begin() + run.begin, gradient.begin() + run.begin + run.size),
          Each(0.0f));
    }
  }
}

TEST(Otov3Phase, WithLocalStepsTooTheUnitsStayZero) {
  proto::JobConfig job = Job("sgd");
  job.mutable_training()->set_local_steps(2);
  PrunedWorld pruned(job, 2, otov3::Variant::kHesso);
  pruned.Train(0, kFirst);
  pruned.Begin(job);
  pruned.Train(kFirst, kFirst + kSteps);
  EXPECT_EQ(pruned.pruner(0).zeros(), kWidth);
  EXPECT_EQ(pruned.world->trainer(0).ParameterChecksum(),
            pruned.world->trainer(1).ParameterChecksum());
}

// A phase of plain training after the pruning one, with another optimiser.
proto::Phase PlainPhase(const proto::JobConfig& job) {
  proto::Phase next;
  next.set_kind("train");
  *next.mutable_optimizer() = job.optimizer();
  next.mutable_optimizer()->set_kind("adam");
  *next.mutable_schedule() = job.schedule();
  return next;
}

TEST(Otov3Phase, WhatIsZeroStaysSoInThePhaseAfterIt) {
  const proto::JobConfig job = Job("sgd");
  constexpr int64_t kEnd = kFirst + kSteps;
  PrunedWorld pruned(job, 1, otov3::Variant::kDhspg);
  pruned.Begin(job);
  pruned.Train(kFirst, kEnd);
  Trainer& trainer = pruned.world->trainer(0);
  const std::vector<ElementRun> runs = pruned.world->sink(0).forgotten();
  ASSERT_EQ(runs.size(), 2u * kWidth);
  ASSERT_TRUE(trainer.BeginPhase(PlainPhase(job), Step(kEnd), 20).ok());
  const auto before = FloatTensors(trainer);
  pruned.Train(kEnd, kEnd + 20);
  auto after = FloatTensors(trainer);
  for (const ElementRun& run : runs) {
    const std::vector<float>& values =
        after.at(trainer.parameters()[static_cast<size_t>(run.parameter)].name);
    EXPECT_TRUE(std::all_of(values.begin() + run.begin, values.begin() + run.begin + run.size,
                            [](float value) { return value == 0; }));
  }
  EXPECT_NE(after.at("fc1.weight"), before.at("fc1.weight")) << "the others train on";
}

TEST(Otov3Phase, ARankThatComesInThePhaseAfterItKeepsTheSameZeros) {
  const proto::JobConfig job = Job("sgd");
  constexpr int64_t kEnd = kFirst + kSteps;
  PrunedWorld whole(job, 1, otov3::Variant::kDhspg), later(job, 1, otov3::Variant::kDhspg);
  whole.Begin(job);
  whole.Train(kFirst, kEnd);
  for (PrunedWorld* world : {&whole, &later}) {
    ASSERT_TRUE(world->world->trainer(0).BeginPhase(PlainPhase(job), Step(kEnd), 20).ok());
  }
  whole.Train(kEnd, kEnd + 5);
  const auto completed =
      later.world->trainer(0).LoadState(*whole.world->trainer(0).SaveState(Step(kEnd + 5)));
  ASSERT_TRUE(completed.ok()) << completed.status();
  EXPECT_EQ(later.world->trainer(0).ParameterChecksum(),
            whole.world->trainer(0).ParameterChecksum());
  whole.Train(kEnd + 5, kEnd + 15);
  later.Train(kEnd + 5, kEnd + 15);
  EXPECT_EQ(*later.world->trainer(0).SaveState(Step(0)), *whole.world->trainer(0).SaveState(Step(0)));
}

TEST(Otov3Phase, AStateFromBeforeItTakesTheZerosBack) {
  const proto::JobConfig job = Job("sgd");
  PrunedWorld plain(job, 1, otov3::Variant::kDhspg), pruned(job, 1, otov3::Variant::kDhspg);
  const std::string state = *plain.world->trainer(0).SaveState(Step(kFirst));
  pruned.Begin(job);
  pruned.Train(kFirst, kFirst + kSteps);
  proto::Phase before = PlainPhase(job);
  before.mutable_optimizer()->set_kind("sgd");
  ASSERT_TRUE(pruned.world->trainer(0).BeginPhase(before, Step(0), kFirst).ok());
  ASSERT_TRUE(pruned.world->trainer(0).LoadState(state).ok());
  EXPECT_EQ(pruned.world->trainer(0).ParameterChecksum(),
            plain.world->trainer(0).ParameterChecksum());
}

TEST(Otov3Phase, ItsDecisionsArePartOfTheChecksum) {
  const proto::JobConfig job = Job("sgd");
  PrunedWorld pruned(job, 1, otov3::Variant::kDhspg);
  const uint64_t before = pruned.world->trainer(0).ParameterChecksum();
  pruned.Begin(job);
  EXPECT_NE(pruned.world->trainer(0).ParameterChecksum(), before);
}

}  // namespace
}  // namespace sluice
