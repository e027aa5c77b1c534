#include "models/graph/erase.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "models/graph/channel_groups.h"
#include "models/graph/stretches.h"
#include "tests/models/graph/analysed.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kRounding = 1e-9;

struct Stretched {
  Graph graph;
  AxisAnalysis axes;
  std::vector<Stretch> stretches;

  explicit Stretched(Graph of) : graph(std::move(of)) {
    axes = Analyse(graph).axes;
    stretches = FindStretches(graph, axes);
  }

  int32_t Of(const std::string& parameter) const {
    for (size_t i = 0; i < stretches.size(); ++i) {
      for (ValueId id : stretches[i].parameters) {
        if (graph.values[id].state == parameter) return static_cast<int32_t>(i);
      }
    }
    ADD_FAILURE() << parameter << " is in no stretch";
    return 0;
  }

  std::vector<int32_t> All(const std::vector<std::string>& parameters) const {
    std::vector<int32_t> all;
    for (const std::string& parameter : parameters) all.push_back(Of(parameter));
    return all;
  }
};

/// What is left of a graph, and of states drawn from `seed`.
struct Left {
  Graph graph;
  Tensors states;

  Left(const Stretched& net, const std::vector<int32_t>& erased, uint64_t seed)
      : graph(net.graph), states(RandomStates(net.graph, seed)) {
    const auto cut = CutStretches(net.graph, net.axes, net.stretches, erased);
    EXPECT_TRUE(cut.ok()) << cut.status();
    if (cut.ok()) ApplyCut(*cut, &graph, &states);
  }

  std::vector<std::string> Operators() const {
    std::vector<std::string> names;
    for (const Node& node : graph.nodes) names.push_back(node.op.substr(6));
    return names;
  }
};

/// How far what is left is from the whole network with these parameters at zero, for both batch sizes.
double ErasedDistance(const Stretched& net, const std::vector<int32_t>& erased) {
  std::vector<Group> groups;
  for (int32_t one : erased) groups.push_back(ErasureGroup(net.graph, net.stretches, one));
  double most = 0;
  for (uint64_t seed : {1, 2}) {
    const Left left(net, erased, seed);
    const Tensors masked = Masked(RandomStates(net.graph, seed), SlicesToZero(groups));
    for (bool other : {false, true}) {
      const std::vector<Tensor> inputs = RandomInputs(net.graph, seed + 7, other);
      most = std::max(most, Distance(Compute(net.graph, masked, inputs),
                                     Compute(left.graph, left.states, inputs)));
    }
  }
  return most;
}

Stretched TwoBranches() {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId left = b.Relu(b.Linear("left2", b.Relu(b.Linear("left", x, 6, 4)), 4, 6));
  const ValueId sum = b.Add(left, b.Linear("right", x, 6, 6));
  return Stretched(b.Build({b.Linear("head", sum, 6, 3)}));
}

TEST(CutStretches, ASumOfWhichOneTermIsLeftIsPassedBy) {
  const Stretched net = TwoBranches();
  const Left left(net, net.All({"left.weight"}), 1);
  EXPECT_THAT(left.Operators(), ElementsAre("linear", "relu", "linear", "linear"));
  EXPECT_LT(ErasedDistance(net, net.All({"left.weight"})), kRounding);
  EXPECT_LT(ErasedDistance(net, net.All({"right.weight"})), kRounding);
}

TEST(CutStretches, ATopScoreThatWouldDisconnectIsRefused) {
  const Stretched net = TwoBranches();
  const auto cut =
      CutStretches(net.graph, net.axes, net.stretches, net.All({"left.weight", "right.weight"}));
  EXPECT_EQ(cut.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(cut.status().message()), HasSubstr("would be left without input"));
}

TEST(CutStretches, WhatCannotBeErasedIsRefused) {
  const Stretched net = TwoBranches();
  for (int32_t stretch : {net.Of("head.weight"), net.Of("stem.weight"), 99, -1}) {
    EXPECT_EQ(CutStretches(net.graph, net.axes, net.stretches, {stretch}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(CutStretches, ThreeTermsLoseOneOrTwo) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId sum =
      b.Add(b.Add(b.Linear("one", x, 6, 6), b.Linear("two", x, 6, 6)), b.Linear("three", x, 6, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  EXPECT_LT(ErasedDistance(net, net.All({"one.weight"})), kRounding);
  EXPECT_LT(ErasedDistance(net, net.All({"one.weight", "three.weight"})), kRounding);
  // The inner sum loses all that it adds.
  const auto inner = net.All({"one.weight", "two.weight"});
  EXPECT_THAT(Left(net, inner, 1).Operators(), ElementsAre("linear", "relu", "linear", "linear"));
  EXPECT_LT(ErasedDistance(net, inner), kRounding);
}

TEST(CutStretches, AroundASkipTheSkipIsLeft) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId y = b.Add(x, b.BatchNorm("bn", b.Linear("branch", x, 6, 6), 6));
  const Stretched net(b.Build({b.Linear("head", b.Relu(y), 6, 3)}));
  EXPECT_LT(ErasedDistance(net, net.All({"branch.weight"})), kRounding);
  EXPECT_THAT(Left(net, net.All({"branch.weight"}), 1).Operators(),
              ElementsAre("linear", "relu", "relu", "linear"));
}

TEST(CutStretches, AConcatenationLosesChannelsAndItsReadersTheirColumns) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Conv("stem", b.Input({2, 4, 4}), 2, 3, 3));
  const ValueId all = b.Cat(
      {b.Conv("one", x, 3, 4, 3), b.Conv("two", x, 3, 5, 1), x, b.Conv("three", x, 3, 2, 1)}, 1);
  const ValueId y = b.Relu(b.Conv("tail", b.Relu(all), 14, 6, 1));
  const ValueId flat = b.Op("aten::flatten", {{y}, {int64_t{1}}, {int64_t{-1}}});
  const Stretched net(b.Build({b.Linear("head", flat, 96, 3)}));
  const Left left(net, net.All({"one.weight", "three.weight"}), 1);
  EXPECT_EQ(left.states.at("tail.weight").shape, (std::vector<int64_t>{6, 8, 1, 1}));
  for (const auto& erased :
       {net.All({"one.weight"}), net.All({"two.weight"}), net.All({"three.weight", "one.weight"}),
        net.All({"one.weight", "two.weight", "three.weight"})}) {
    EXPECT_LT(ErasedDistance(net, erased), kRounding);
  }
}

TEST(CutStretches, AConcatenationOfWhichOneTensorIsLeftIsPassedBy) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId both = b.Cat({b.Linear("one", x, 6, 4), b.Linear("two", x, 6, 4)}, -1);
  const Stretched net(b.Build({b.Linear("head", b.Relu(both), 8, 3)}));
  EXPECT_THAT(Left(net, net.All({"one.weight"}), 1).Operators(),
              ElementsAre("linear", "relu", "linear", "relu", "linear"));
  EXPECT_LT(ErasedDistance(net, net.All({"one.weight"})), kRounding);
  EXPECT_LT(ErasedDistance(net, net.All({"two.weight"})), kRounding);
}

TEST(CutStretches, ColumnsBehindAFlattenedConcatenationGo) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Conv("stem", b.Input({2, 4, 4}), 2, 3, 3));
  const ValueId all = b.Cat({b.Conv("one", x, 3, 4, 3), x}, 1);
  const Stretched net(b.Build({b.Linear("head", b.View(all, {2, 112}), 112, 3)}));
  const Left left(net, net.All({"one.weight"}), 1);
  EXPECT_EQ(left.states.at("head.weight").shape, (std::vector<int64_t>{3, 48}));
  EXPECT_LT(ErasedDistance(net, net.All({"one.weight"})), kRounding);
}

TEST(CutStretches, ASliceBehindAConcatenationBeginsEarlier) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId all = b.Cat({b.Linear("one", x, 6, 4), b.Linear("two", x, 6, 7)}, 1);
  const ValueId part =
      b.Op("aten::slice", {{all}, {int64_t{1}}, {int64_t{4}}, {int64_t{11}}, {int64_t{1}}});
  const ValueId sum = b.Add(b.Linear("tail", all, 11, 6), b.Linear("of_part", part, 7, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  EXPECT_LT(ErasedDistance(net, net.All({"one.weight"})), kRounding);
  // Nothing would be left of the slice.
  EXPECT_THAT(net.stretches[static_cast<size_t>(net.Of("two.weight"))].reasons,
              ElementsAre(HasSubstr("has its channels without all of those that they are "
                                    "concatenated with")));
}

TEST(CutStretches, WhatNobodyReadsThenGoesToo) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId inner = b.Mul(b.Linear("deep", x, 6, 4), b.Linear("gate", x, 6, 4));
  const ValueId sum = b.Add(x, b.Linear("out", inner, 4, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  ASSERT_TRUE(net.stretches[static_cast<size_t>(net.Of("out.weight"))].erasable());
  EXPECT_THAT(Left(net, net.All({"out.weight"}), 1).Operators(),
              ElementsAre("linear", "relu", "linear"));
  EXPECT_LT(ErasedDistance(net, net.All({"out.weight"})), kRounding);
}

TEST(CutStretches, WithoutStretchesNothingChanges) {
  const Stretched net = TwoBranches();
  const auto cut = CutStretches(net.graph, net.axes, net.stretches, {});
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_TRUE(cut->gone.empty());
  EXPECT_TRUE(cut->instead.empty());
  EXPECT_TRUE(cut->kept.empty());
  EXPECT_TRUE(cut->constants.empty());
}

/// Of random networks, as many as can go in a random order: what is left computes what the masked one does.
TEST(CutStretches, RandomNetworksComputeWhatTheMaskedOnesDo) {
  const RandomKey key(11);
  size_t erased = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    GraphBuilder b;
    std::vector<ValueId> made = {b.Relu(b.Linear("stem", b.Input({5}), 5, 6))};
    for (uint64_t i = 0; i < 7; ++i) {
      const RandomKey draw = key.With(seed).With(i);
      const std::string name = "branch" + std::to_string(i);
      const ValueId from = made[draw.Bits(0) % made.size()], to = made[draw.Bits(1) % made.size()];
      const ValueId one = b.Linear(name, b.Relu(from), 6, 6);
      const ValueId two = draw.Bits(2) % 2 == 0 ? to : b.Linear(name + "b", to, 6, 6);
      if (draw.Bits(3) % 3 > 0) {
        made.push_back(b.Add(one, two));
      } else {
        made.push_back(b.Linear(name + "c", b.Relu(b.Cat({one, to, two}, 1)), 18, 6));
      }
    }
    const Stretched net(b.Build({b.Linear("head", made.back(), 6, 3)}));
    std::vector<int32_t> order(net.stretches.size());
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[key.With(seed).With("order").Bits(i) % i]);
    }
    const size_t most = 1 + seed % 5;
    const std::vector<int32_t> chosen = ChooseErasures(net.graph, net.stretches, order, most);
    erased += chosen.size();
    EXPECT_LT(ErasedDistance(net, chosen), kRounding) << "seed " << seed;
  }
  EXPECT_GT(erased, 60);
}

}  // namespace
}  // namespace sluice::graph
