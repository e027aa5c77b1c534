#include "models/graph/cut.h"

#include <gtest/gtest.h>

#include "tests/models/graph/analysed.h"
#include "tests/models/graph/nets.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

constexpr double kRounding = 1e-9;

class CutTest : public testing::TestWithParam<Net> {};

TEST_P(CutTest, FindsTheClassesThatCanBePruned) {
  const Analysed net = Analyse(GetParam().make());
  std::string all;
  for (const ChannelClass& channels : net.classes) {
    all += std::to_string(channels.id) + " of " + std::to_string(channels.extent) + ": " +
           (channels.prunable() ? "prunable" : channels.reasons[0]) + "\n";
  }
  EXPECT_EQ(net.Prunable(), GetParam().prunable) << all;
}

TEST_P(CutTest, OneClassAtATimeComputesWhatTheMaskedNetworkDoes) {
  const Analysed net = Analyse(GetParam().make());
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (const Removal& removal : SomeUnits(net.classes, seed)) {
      EXPECT_LT(CutDistance(net, {removal}, seed), kRounding)
          << "class " << removal.class_id << ", seed " << seed;
    }
  }
}

TEST_P(CutTest, AllClassesTogetherComputeWhatTheMaskedNetworkDoes) {
  const Analysed net = Analyse(GetParam().make());
  for (uint64_t seed = 0; seed < 10; ++seed) {
    EXPECT_LT(CutDistance(net, SomeUnits(net.classes, seed), seed), kRounding) << "seed " << seed;
  }
}

TEST_P(CutTest, InnerClassesComputeWhatTheMaskedNetworkDoes) {
  ClassOptions options = EveryUnit();
  options.nested = ClassOptions::Nested::kInner;
  const Analysed net = Analyse(GetParam().make(), options);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    EXPECT_LT(CutDistance(net, SomeUnits(net.classes, seed), seed), kRounding) << "seed " << seed;
  }
}

TEST_P(CutTest, TheSmallerNetworkHasTheSameClassesWithoutTheUnits) {
  const Analysed net = Analyse(GetParam().make());
  std::vector<Removal> removals;
  for (const ChannelClass& channels : net.classes) {
    if (channels.prunable() && channels.extent > 2) removals.push_back({channels.id, {1}});
  }
  Graph smaller = net.graph;
  Tensors states = RandomStates(net.graph, 1);
  ApplyCut(*MakeCut(net.graph, net.axes, net.classes, removals), &smaller, &states);
  const Analysed after = Analyse(WithShapes(smaller, states));
  ASSERT_EQ(after.classes.size(), net.classes.size());
  for (const Removal& removal : removals) {
    EXPECT_EQ(after.classes[removal.class_id].extent,
              net.classes[removal.class_id].extent - static_cast<int64_t>(removal.units.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(Nets, CutTest, testing::ValuesIn(Nets()),
                         [](const auto& info) { return info.param.name; });

TEST(RandomNets, ComputeWhatTheMaskedNetworksDo) {
  size_t prunable = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Analysed net = Analyse(RandomNet(seed));
    prunable += net.Prunable();
    EXPECT_LT(CutDistance(net, SomeUnits(net.classes, seed), seed), kRounding) << "seed " << seed;
  }
  EXPECT_GT(prunable, 100);
}

TEST(MakeCut, RefusesWhatCannotBeCut) {
  const Analysed net = Analyse(Nets()[0].make());
  const auto code = [&](const Removal& removal) {
    return MakeCut(net.graph, net.axes, net.classes, {removal}).status().code();
  };
  const int32_t hidden = net.ClassOf("fc1.weight").id, last = net.ClassOf("fc3.weight").id;
  EXPECT_EQ(code({hidden, {0}}), absl::StatusCode::kOk);
  EXPECT_EQ(code({hidden, {8}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({hidden, {0, 1, 2, 3, 4, 5, 6, 7}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({last, {0}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({99, {0}}), absl::StatusCode::kInvalidArgument);
}

TEST(MakeCut, NothingRemovedChangesNothing) {
  const Analysed net = Analyse(Nets()[0].make());
  const auto cut = MakeCut(net.graph, net.axes, net.classes, {});
  ASSERT_TRUE(cut.ok());
  EXPECT_TRUE(cut->kept.empty());
  EXPECT_TRUE(cut->constants.empty());
}

}  // namespace
}  // namespace sluice::graph
