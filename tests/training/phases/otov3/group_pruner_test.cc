#include "training/phases/otov3/group_pruner.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/phases/otov3/toy_network.h"

namespace sluice::otov3 {
namespace {

using ::testing::HasSubstr;

constexpr Step kFirst{100};
constexpr int64_t kSteps = 60;
constexpr double kRate = 0.05;

PruneSettings Settings(Variant variant) {
  PruneSettings settings;
  settings.variant = variant;
  settings.hesso_scores = variant == Variant::kHesso;
  settings.rules = {0.5, 1, 0.9};
  settings.periods = 4;
  return settings;
}

GroupPruner Make(const PruneSettings& settings, const ToyNetwork& toy) {
  auto made = GroupPruner::Create(settings, {toy.groups, nullptr}, toy.parameters, kFirst, kSteps);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

// Steps [begin, end) of the phase. \return runs that became zero
std::vector<ElementRun> Train(GroupPruner& pruner, ToyNetwork& toy, int64_t begin, int64_t end) {
  std::vector<ElementRun> all;
  for (int64_t t = begin; t < end; ++t) {
    pruner.BeforeOptimizer(toy.spans);
    toy.Step(static_cast<uint64_t>(t), kRate);
    const auto zeroed = pruner.AfterOptimizer(kFirst + t, kRate, toy.spans);
    EXPECT_TRUE(zeroed.ok()) << zeroed.status();
    all.insert(all.end(), zeroed->begin(), zeroed->end());
  }
  return all;
}

int ZeroGroups(const GroupPruner& pruner, const ToyNetwork& toy) {
  int zeros = 0;
  for (int g = 0; g < pruner.view().size(); ++g) zeros += pruner.view().IsZero(g, toy.spans);
  return zeros;
}

class GroupPrunerTest : public testing::TestWithParam<Variant> {};

TEST_P(GroupPrunerTest, ChangesNothingBeforeThePartition) {
  ToyNetwork toy(1), plain(1);
  GroupPruner pruner = Make(Settings(GetParam()), toy);
  Train(pruner, toy, 0, pruner.timeline().partition);
  for (int64_t t = 0; t < pruner.timeline().partition; ++t) {
    plain.Step(static_cast<uint64_t>(t), kRate);
  }
  EXPECT_EQ(toy.values, plain.values);
  EXPECT_TRUE(pruner.log().decisions().empty());
}

TEST_P(GroupPrunerTest, ExactlyTheRequestedGroupsAreZeroAtTheDeadline) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const RandomKey key(seed);
    PruneSettings settings = Settings(GetParam());
    settings.rules.target = static_cast<double>(key.Below(0, 85)) / 100;
    settings.rules.max_removed = 1;
    settings.half_space.penalty = seed % 2 == 0 ? 1e-6 : 1;
    settings.half_space.epsilon = static_cast<double>(key.Below(1, 99)) / 100;
    settings.warmup = static_cast<double>(key.Below(2, 30)) / 100;
    settings.projection = settings.warmup + 0.1;
    settings.shrink = settings.warmup + static_cast<double>(key.Below(3, 30)) / 100;
    settings.deadline = 0.7 + static_cast<double>(key.Below(4, 31)) / 100;
    ToyNetwork toy(seed);
    GroupPruner pruner = Make(settings, toy);
    Train(pruner, toy, 0, pruner.timeline().deadline);
    EXPECT_EQ(ZeroGroups(pruner, toy), pruner.requested()) << "seed " << seed;
    EXPECT_EQ(pruner.zeros(), pruner.requested()) << "seed " << seed;
    EXPECT_EQ(pruner.zero(), pruner.redundant()) << "seed " << seed;
  }
}

TEST_P(GroupPrunerTest, KeepsADivisorOfUnits) {
  ToyNetwork toy(3);
  PruneSettings settings = Settings(GetParam());
  settings.rules = {0.5, 4, 0.9};
  GroupPruner pruner = Make(settings, toy);
  Train(pruner, toy, 0, kSteps);
  for (const ClassRange& range : pruner.view().classes()) {
    int kept = 0;
    for (int g = range.first; g < range.first + range.units; ++g) {
      kept += pruner.view().IsZero(g, toy.spans) ? 0 : 1;
    }
    EXPECT_TRUE(kept % 4 == 0 || kept == range.units) << kept;
  }
}

TEST_P(GroupPrunerTest, WhatIsZeroStaysZero) {
  ToyNetwork toy(4);
  GroupPruner pruner = Make(Settings(GetParam()), toy);
  Train(pruner, toy, 0, pruner.timeline().deadline);
  const std::vector<bool> zero = pruner.zero();
  for (int64_t t = pruner.timeline().deadline; t < kSteps + 100; ++t) {
    Train(pruner, toy, t, t + 1);
    for (int g = 0; g < pruner.view().size(); ++g) {
      EXPECT_EQ(pruner.view().IsZero(g, toy.spans),
                static_cast<bool>(zero[static_cast<size_t>(g)]));
    }
  }
}

TEST_P(GroupPrunerTest, EveryRunThatBecameZeroIsToldOnce) {
  ToyNetwork toy(5);
  GroupPruner pruner = Make(Settings(GetParam()), toy);
  int64_t told = 0, elements = 0;
  for (const ElementRun& run : Train(pruner, toy, 0, kSteps)) {
    told += run.size;
    for (int64_t i = run.begin; i < run.begin + run.size; ++i) {
      EXPECT_EQ(toy.values[static_cast<size_t>(run.parameter)][static_cast<size_t>(i)], 0);
    }
  }
  for (int g = 0; g < pruner.view().size(); ++g) {
    if (pruner.zero()[static_cast<size_t>(g)]) elements += pruner.view().elements(g);
  }
  EXPECT_EQ(told, elements);
}

TEST_P(GroupPrunerTest, GoesOnFromAnyStepAsIfItHadNotStopped) {
  for (int64_t stop : {0, 2, 6, 7, 20, 40, 47, 55}) {
    ToyNetwork toy(8), other(8);
    GroupPruner whole = Make(Settings(GetParam()), toy);
    Train(whole, toy, 0, stop);
    GroupPruner later = Make(Settings(GetParam()), other);
    other.values = toy.values;
    for (size_t p = 0; p < 3; ++p) other.spans[p] = absl::MakeSpan(other.values[p]);
    ASSERT_TRUE(later.LoadState(whole.SaveState()).ok());
    Train(whole, toy, stop, kSteps);
    Train(later, other, stop, kSteps);
    EXPECT_EQ(other.values, toy.values) << "from step " << stop;
    EXPECT_EQ(later.log().digest(), whole.log().digest());
    EXPECT_EQ(later.SaveState(), whole.SaveState());
  }
}

TEST_P(GroupPrunerTest, StepsThatArePassedOverAreMadeUpFor) {
  for (int64_t missing = 0; missing < kSteps; ++missing) {
    ToyNetwork toy(9);
    GroupPruner pruner = Make(Settings(GetParam()), toy);
    Train(pruner, toy, 0, missing);
    Train(pruner, toy, missing + 1, kSteps);
    EXPECT_EQ(ZeroGroups(pruner, toy), pruner.requested()) << "without " << missing;
  }
}

TEST_P(GroupPrunerTest, GroupsThatAreZeroAlreadyGoFirst) {
  ToyNetwork toy(10);
  PruneSettings settings = Settings(GetParam());
  settings.warmup = settings.projection = 0;
  GroupPruner pruner = Make(settings, toy);
  pruner.view().Zero(1, toy.spans);
  pruner.view().Zero(15, toy.spans);
  Train(pruner, toy, 0, kSteps);
  EXPECT_TRUE(pruner.view().IsZero(1, toy.spans));
  EXPECT_TRUE(pruner.view().IsZero(15, toy.spans));
  EXPECT_EQ(ZeroGroups(pruner, toy), pruner.requested());
}

TEST_P(GroupPrunerTest, NothingIsPrunedWithATargetOfZero) {
  ToyNetwork toy(11), plain(11);
  PruneSettings settings = Settings(GetParam());
  settings.rules.target = 0;
  GroupPruner pruner = Make(settings, toy);
  Train(pruner, toy, 0, kSteps);
  for (int64_t t = 0; t < kSteps; ++t) plain.Step(static_cast<uint64_t>(t), kRate);
  EXPECT_EQ(toy.values, plain.values);
}

TEST_P(GroupPrunerTest, ValuesThatAreNotFiniteAreAnError) {
  ToyNetwork toy(12);
  GroupPruner pruner = Make(Settings(GetParam()), toy);
  toy.values[0][5] = std::numeric_limits<float>::quiet_NaN();
  absl::Status status;
  for (int64_t t = 0; t < kSteps && status.ok(); ++t) {
    pruner.BeforeOptimizer(toy.spans);
    status = pruner.AfterOptimizer(kFirst + t, kRate, toy.spans).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
}

INSTANTIATE_TEST_SUITE_P(Both, GroupPrunerTest, testing::Values(Variant::kDhspg, Variant::kHesso),
                         [](const auto& info) {
                           return info.param == Variant::kDhspg ? "Dhspg" : "Hesso";
                         });

TEST(GroupPruner, HessoChoosesAShareInEveryPeriod) {
  ToyNetwork toy(13);
  GroupPruner pruner = Make(Settings(Variant::kHesso), toy);
  Train(pruner, toy, 0, kSteps);
  std::vector<int> chosen;
  for (const Decision& decision : pruner.log().decisions()) {
    if (decision.kind != DecisionKind::kRedundant) continue;
    chosen.push_back(
        static_cast<int>(std::count(decision.groups.begin(), decision.groups.end(), true)));
  }
  EXPECT_EQ(chosen, (std::vector<int>{2, 3, 2, 3}));  // of 10
}

TEST(GroupPruner, TheHalfSpaceProjectsBeforeTheDeadline) {
  ToyNetwork toy(14);
  PruneSettings settings = Settings(Variant::kDhspg);
  settings.half_space.penalty = 1;
  GroupPruner pruner = Make(settings, toy);
  Train(pruner, toy, 0, pruner.timeline().shrink);
  EXPECT_GT(pruner.zeros(), 0);
  EXPECT_LE(pruner.zeros(), pruner.requested());
}

TEST(GroupPruner, GroupsOfKeptParametersAreLeftAlone) {
  const ToyNetwork toy(16);
  PruneSettings settings = Settings(Variant::kDhspg);
  settings.keep = {"b"};
  const GroupPruner pruner = Make(settings, toy);
  EXPECT_EQ(pruner.view().size(), 9);
  settings.keep = {"b", "b"};  // once more changes nothing
  EXPECT_EQ(Make(settings, toy).view().size(), 9);
  const auto why = [&](std::vector<std::string> keep) {
    settings.keep = std::move(keep);
    return std::string(
        GroupPruner::Create(settings, {toy.groups, nullptr}, toy.parameters, kFirst, kSteps)
            .status()
            .message());
  };
  EXPECT_THAT(why({"b", "typo."}),
              HasSubstr("otov3.keep: no parameter has a name that starts with \"typo.\""));
  EXPECT_THAT(why({""}), HasSubstr("otov3.keep: leaves nothing that may go"));
}

// Units as if they were operators, a class each: unit u of class 0 has class u, of class 1 has class 100 + u.
std::vector<graph::Group> Operators(const ToyNetwork& toy) {
  std::vector<graph::Group> groups = toy.groups;
  for (graph::Group& group : groups) {
    group.class_id = 100 * group.class_id + group.unit;
    group.unit = 0;
  }
  return groups;
}

// Of classes 0 to 11 one of each pair must stay, and class 100.
bool LeavesANetwork(const std::vector<int32_t>& class_ids) {
  std::vector<int> of_pair(200, 0);
  for (int32_t id : class_ids) ++of_pair[static_cast<size_t>(id / 2)];
  return std::count(class_ids.begin(), class_ids.end(), 100) == 0 &&
         std::count(of_pair.begin(), of_pair.begin() + 6, 2) == 0;
}

GroupPruner MakeEraser(PruneSettings settings, double target, const ToyNetwork& toy) {
  settings.mode = Mode::kErase;
  settings.rules = {target, 8, 0.1};  // the latter two are of channels
  auto made = GroupPruner::Create(settings, {Operators(toy), LeavesANetwork}, toy.parameters,
                                  kFirst, kSteps);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

std::vector<int32_t> ZeroClasses(const GroupPruner& pruner, const ToyNetwork& toy) {
  std::vector<int32_t> classes;
  for (int g = 0; g < pruner.view().size(); ++g) {
    if (pruner.view().IsZero(g, toy.spans)) classes.push_back(pruner.view().group(g).class_id);
  }
  return classes;
}

TEST_P(GroupPrunerTest, ErasesAsManyOperatorsAsRequestedAndLeavesANetwork) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    ToyNetwork toy(seed);
    GroupPruner pruner = MakeEraser(Settings(GetParam()), 0.5, toy);
    Train(pruner, toy, 0, pruner.timeline().deadline);
    const std::vector<int32_t> gone = ZeroClasses(pruner, toy);
    EXPECT_EQ(static_cast<int>(gone.size()), pruner.requested()) << "seed " << seed;
    EXPECT_TRUE(LeavesANetwork(gone)) << "seed " << seed;
  }
}

TEST_P(GroupPrunerTest, ErasesFewerOperatorsWhereNoMoreCanGo) {
  ToyNetwork toy(17);
  GroupPruner pruner = MakeEraser(Settings(GetParam()), 0.95, toy);
  Train(pruner, toy, 0, kSteps);
  const std::vector<int32_t> gone = ZeroClasses(pruner, toy);
  EXPECT_EQ(pruner.requested(), 19);
  EXPECT_EQ(gone.size(), 14u);  // one of each of six pairs, and eight of nine
  EXPECT_TRUE(LeavesANetwork(gone));
  EXPECT_TRUE(pruner.divided());
  EXPECT_EQ(pruner.zero(), pruner.redundant());
}

TEST_P(GroupPrunerTest, ErasingGoesOnFromAnyStepAsIfItHadNotStopped) {
  for (int64_t stop : {2, 7, 20, 47}) {
    ToyNetwork toy(18), other(18);
    GroupPruner whole = MakeEraser(Settings(GetParam()), 0.5, toy);
    Train(whole, toy, 0, stop);
    GroupPruner later = MakeEraser(Settings(GetParam()), 0.5, other);
    other.values = toy.values;
    for (size_t p = 0; p < 3; ++p) other.spans[p] = absl::MakeSpan(other.values[p]);
    ASSERT_TRUE(later.LoadState(whole.SaveState()).ok());
    Train(whole, toy, stop, kSteps);
    Train(later, other, stop, kSteps);
    EXPECT_EQ(other.values, toy.values) << "from step " << stop;
    EXPECT_EQ(later.log().digest(), whole.log().digest());
  }
}

// What an earlier phase erased is gone: its pair must stay, however cheap the one and dear the other.
TEST_P(GroupPrunerTest, ErasingAgainLeavesANetwork) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ToyNetwork toy(seed);
    std::vector<graph::Group> operators = Operators(toy);
    for (graph::Group& group : operators) group.macs = group.class_id % 2 == 0 ? 1 : 1000;
    PruneSettings settings = Settings(GetParam());
    settings.mode = Mode::kErase;
    settings.cost_weight = 2;
    settings.rules = {0.5, 8, 0.1};
    auto pruner =
        GroupPruner::Create(settings, {operators, LeavesANetwork}, toy.parameters, kFirst, kSteps);
    ASSERT_TRUE(pruner.ok()) << pruner.status();
    for (int g = 0; g < pruner->view().size(); ++g) {
      const int32_t id = pruner->view().group(g).class_id;
      if (id < 12 && id % 2 == 0) pruner->view().Zero(g, toy.spans);
    }
    Train(*pruner, toy, 0, kSteps);
    const std::vector<int32_t> gone = ZeroClasses(*pruner, toy);
    EXPECT_EQ(static_cast<int>(gone.size()), pruner->requested()) << "seed " << seed;
    EXPECT_TRUE(LeavesANetwork(gone)) << "seed " << seed;
  }
}

TEST_P(GroupPrunerTest, WhatIsGoneCountsThoughItIsKept) {
  ToyNetwork toy(19);
  const std::vector<graph::Group> operators = Operators(toy);
  auto all = GroupView::Create(operators, toy.parameters);
  ASSERT_TRUE(all.ok()) << all.status();
  PruneSettings settings = Settings(GetParam());
  settings.mode = Mode::kErase;
  settings.rules = {0.99, 8, 0.1};
  settings.keep = {"b"};
  const auto one_is_left = [](const std::vector<int32_t>& gone) {
    return std::count(gone.begin(), gone.end(), 0) + std::count(gone.begin(), gone.end(), 100) < 2;
  };
  auto pruner =
      GroupPruner::Create(settings, {operators, one_is_left}, toy.parameters, kFirst, kSteps);
  ASSERT_TRUE(pruner.ok()) << pruner.status();
  for (int64_t t = 0; t < kSteps; ++t) {
    pruner->BeforeOptimizer(toy.spans);
    toy.Step(static_cast<uint64_t>(t), kRate);
    all->Zero(0, toy.spans);  // class 0, of the parameter b: as the trainer keeps it
    ASSERT_TRUE(pruner->AfterOptimizer(kFirst + t, kRate, toy.spans).ok());
  }
  const std::vector<int32_t> gone = ZeroClasses(*pruner, toy);
  EXPECT_EQ(gone.size(), 8u);  // of the nine that may go
  EXPECT_EQ(std::count(gone.begin(), gone.end(), 100), 0);
}

TEST(GroupPruner, StateOfOtherGroupsIsRefusedAndNothingChanges) {
  ToyNetwork toy(15);
  GroupPruner pruner = Make(Settings(Variant::kDhspg), toy);
  Train(pruner, toy, 0, 30);
  const std::string before = pruner.SaveState();
  ToyNetwork fewer(15);
  fewer.groups.pop_back();
  const GroupPruner other = Make(Settings(Variant::kDhspg), fewer);
  EXPECT_EQ(pruner.LoadState(other.SaveState()).code(), absl::StatusCode::kFailedPrecondition);
  for (size_t n = 0; n < before.size(); n += 5) {
    if (n == before.size() - static_cast<size_t>(pruner.view().size()) * 8) continue;  // no scores
    EXPECT_EQ(pruner.LoadState(before.substr(0, n)).code(), absl::StatusCode::kDataLoss) << n;
  }
  EXPECT_EQ(pruner.SaveState(), before);
}

TEST(PruneSettings, WhatContradictsItselfIsRefusedByName) {
  const auto message = [](const std::function<void(PruneSettings&)>& change, int64_t steps) {
    PruneSettings settings;
    change(settings);
    const auto timeline = MakeTimeline(settings, steps);
    EXPECT_EQ(timeline.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(timeline.status().message());
  };
  EXPECT_THAT(message([](auto& s) { s.rules.target = 1; }, 100),
              HasSubstr("otov3.target_sparsity is 1: expected at least 0 and below 1"));
  EXPECT_THAT(message([](auto& s) { s.warmup = 0.5; }, 100), HasSubstr("otov3.projection"));
  EXPECT_THAT(message([](auto& s) { s.deadline = 0.3; }, 100), HasSubstr("otov3.deadline"));
  EXPECT_THAT(message([](auto& s) { s.variant = Variant::kHesso; }, 10),
              HasSubstr("7 of the phase's 10 steps are between warmup and deadline"));
}

}  // namespace
}  // namespace sluice::otov3
