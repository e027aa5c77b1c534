#include "models/graph/channel_classes.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "models/graph/macs.h"
#include "tests/models/graph/analysed.h"
#include "tests/models/graph/nets.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

using Ints = std::vector<int64_t>;

/// Whether 8 features of a layer can be pruned behind `between`.
bool PrunableBehind(const std::function<ValueId(GraphBuilder&, ValueId)>& between) {
  GraphBuilder b;
  const ValueId x = between(b, b.Linear("fc", b.Input({5}), 5, 8));
  return Analyse(b.Build({b.Linear("last", x, 8, 3)})).ClassOf("fc.weight").prunable();
}

TEST(ZeroInvariance, FunctionsThatKeepZeroKeepTheClass) {
  for (const char* op : {"aten::relu", "aten::tanh"}) {
    EXPECT_TRUE(PrunableBehind([op](GraphBuilder& b, ValueId x) { return b.Op(op, {{x}}); })) << op;
  }
}

TEST(ZeroInvariance, FunctionsThatMoveZeroDoNot) {
  EXPECT_FALSE(PrunableBehind([](auto& b, ValueId x) { return b.Op("aten::sigmoid", {{x}}); }));
  EXPECT_FALSE(PrunableBehind([](auto& b, ValueId x) {
    return b.Op("aten::add", {{x}, {0.5}, {int64_t{1}}});
  }));
}

TEST(ZeroInvariance, ANumberOfZeroMovesNothing) {
  EXPECT_TRUE(PrunableBehind([](auto& b, ValueId x) {
    return b.Op("aten::add", {{x}, {0.0}, {int64_t{1}}});
  }));
}

TEST(ZeroInvariance, BoundsAroundZeroKeepIt) {
  const auto clamp = [](double low, double high) {
    return PrunableBehind([=](auto& b, ValueId x) {
      return b.Op("aten::hardtanh", {{x}, {low}, {high}});
    });
  };
  EXPECT_TRUE(clamp(0, 6));
  EXPECT_FALSE(clamp(1, 6));
  EXPECT_FALSE(clamp(-2, -1));
}

TEST(ZeroInvariance, PowersKeepZeroWhereTheirGradientIsFinite) {
  const auto power = [](double exponent) {
    GraphBuilder b;
    const ValueId x = b.Linear("fc", b.Input({5}), 5, 8);
    const ValueId y = b.Op("aten::pow", {{x}, {exponent}});
    return Analyse(b.Build({b.Linear("last", y, 8, 3)})).ClassOf("fc.weight").prunable();
  };
  EXPECT_TRUE(power(2));
  EXPECT_FALSE(power(0.5));
  EXPECT_FALSE(power(-1));
}

TEST(ZeroInvariance, AGateDoesNotSpoilAProduct) {
  EXPECT_TRUE(
      PrunableBehind([](auto& b, ValueId x) { return b.Mul(x, b.Op("aten::sigmoid", {{x}})); }));
}

TEST(ZeroInvariance, ABufferThatIsAddedMayBeAnything) {
  EXPECT_FALSE(PrunableBehind([](auto& b, ValueId x) { return b.Add(x, b.Buffer("shift", {8})); }));
  EXPECT_TRUE(PrunableBehind([](auto& b, ValueId x) { return b.Mul(x, b.Buffer("mask", {8})); }));
}

TEST(ZeroInvariance, NormsNeedVariablesOfTheirOwn) {
  EXPECT_TRUE(PrunableBehind([](auto& b, ValueId x) { return b.BatchNorm("bn", x, 8); }));
  EXPECT_FALSE(PrunableBehind([](GraphBuilder& b, ValueId x) {
    const ValueId mean = b.Buffer("mean", {8}), var = b.Buffer("var", {8});
    return b.Op("aten::batch_norm", {{x}, {}, {}, {mean}, {var}, {false}, {0.1}, {1e-5}, {false}});
  }));
}

TEST(ZeroInvariance, TheReasonNamesWhereItIsRead) {
  GraphBuilder b;
  const ValueId x = b.Op("aten::sigmoid", {{b.Linear("fc", b.Input({5}), 5, 8)}});
  const Analysed net = Analyse(b.Build({b.Linear("last", x, 8, 3)}));
  EXPECT_EQ(net.ClassOf("fc.weight").reasons[0],
            "with its parameters at zero it is not zero where aten::linear at line 2 reads it");
}

TEST(ZeroInvariance, FrozenWeightsKeepTheirChannels) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("fc", b.Input({5}), 5, 8));
  Graph graph = b.Build({b.Linear("last", x, 8, 3)});
  for (Value& value : graph.values) {
    if (value.state == "fc.weight") value.trainable = false;
  }
  EXPECT_FALSE(Analyse(graph).ClassOf("fc.bias").prunable());
}

TEST(ChannelClasses, ClassesNoLargerThanTheDivisorAreKept) {
  GraphBuilder b;
  ValueId x = b.Linear("small", b.Input({5}), 5, 8);
  x = b.Linear("large", x, 8, 24);
  const Analysed net = Analyse(b.Build({b.Linear("last", x, 24, 3)}), ClassOptions());
  EXPECT_EQ(net.ClassOf("small.weight").reasons[0], "its 8 units are kept in multiples of 8");
  EXPECT_TRUE(net.ClassOf("large.weight").prunable());
}

TEST(ChannelClasses, WholeHeadsCountWithTheirWidth) {
  for (const Net& net : Nets()) {
    if (net.name != "ChunkedAttention") continue;
    ClassOptions options;
    options.divisor = 4;  // heads are 2 wide
    EXPECT_EQ(Analyse(net.make(), options).ClassOf("qkv.weight").divisor, 2);
  }
}

TEST(ChannelClasses, KeptByNameOfAParameter) {
  ClassOptions options = EveryUnit();
  options.keep = {"fc1.*"};
  const Analysed net = Analyse(Nets()[0].make(), options);
  EXPECT_FALSE(net.ClassOf("fc1.weight").prunable());
  EXPECT_TRUE(net.ClassOf("fc2.weight").prunable());
}

TEST(ChannelClasses, RefusesAPatternThatNothingMatches) {
  const Graph graph = Nets()[0].make();
  const auto axes = AnalyseAxes(graph);
  ASSERT_TRUE(axes.ok());
  ClassOptions options;
  options.keep = {"conv*"};
  EXPECT_EQ(FindClasses(graph, *axes, options).status().message(),
            "channel classes: no parameter's name matches \"conv*\"");
  options = {};
  options.divisor = 0;
  EXPECT_FALSE(FindClasses(graph, *axes, options).ok());
}

TEST(ChannelClasses, OneOfNestedClassesIsPruned) {
  for (const Net& net : Nets()) {
    if (net.name != "ChunkedAttention") continue;
    ClassOptions options = EveryUnit();
    const Analysed heads = Analyse(net.make(), options);
    options.nested = ClassOptions::Nested::kInner;
    const Analysed width = Analyse(net.make(), options);
    EXPECT_EQ(heads.ClassOf("qkv.weight").extent, 4);
    ASSERT_EQ(heads.classes.size(), width.classes.size());
    for (size_t id = 0; id < heads.classes.size(); ++id) {
      EXPECT_FALSE(heads.classes[id].prunable() && width.classes[id].prunable());
    }
    // q and k share a width, v has its own; parts of a chunk have all in common.
    EXPECT_EQ(width.Prunable(), 1);
  }
}

TEST(ChannelClasses, AWeightOfOneClassOnBothSidesIsPruned) {
  GraphBuilder b;
  ValueId x = b.Linear("in", b.Input({5}), 5, 6);
  x = b.Add(x, b.Linear("square", x, 6, 6));
  const Analysed net = Analyse(b.Build({b.Linear("last", x, 6, 3)}));
  ASSERT_TRUE(net.ClassOf("square.weight").prunable());
  EXPECT_LT(CutDistance(net, SomeUnits(net.classes, 1), 1), 1e-9);
}

TEST(ChannelClasses, IdsAreTheSameEveryTime) {
  for (const Net& net : Nets()) {
    const Analysed a = Analyse(net.make()), b = Analyse(net.make());
    ASSERT_EQ(a.classes.size(), b.classes.size());
    for (size_t id = 0; id < a.classes.size(); ++id) {
      EXPECT_EQ(a.classes[id].id, static_cast<int32_t>(id));
      EXPECT_EQ(a.classes[id].atom, b.classes[id].atom);
      EXPECT_EQ(a.classes[id].reasons, b.classes[id].reasons);
    }
  }
}

TEST(RoundKept, IsTheNearestMultipleThatMayBe) {
  ChannelClass channels;
  channels.extent = 20;
  channels.divisor = 8;
  EXPECT_EQ(RoundKept(channels, 0, 1), 8);
  EXPECT_EQ(RoundKept(channels, 11, 1), 8);
  EXPECT_EQ(RoundKept(channels, 12, 1), 16);
  EXPECT_EQ(RoundKept(channels, 20, 1), 20);
  EXPECT_EQ(RoundKept(channels, 0, 0.5), 16);
  EXPECT_EQ(RoundKept(channels, 0, 0), 20);
  channels.divisor = 1;
  EXPECT_EQ(RoundKept(channels, 0, 0.9), 2);
  channels.reasons = {"of its own"};
  EXPECT_EQ(RoundKept(channels, 0, 0.9), 20);
}

class GroupsTest : public testing::TestWithParam<Net> {};

TEST_P(GroupsTest, UnitsOfAClassShareNoElement) {
  const Analysed net = Analyse(GetParam().make());
  std::set<std::tuple<int32_t, std::string, int64_t>> taken;
  int64_t units = 0;
  for (const Group& group : Groups(net.graph, net.axes, net.classes)) {
    ++units;
    EXPECT_FALSE(group.slices.empty());
    for (const Slice& slice : group.slices) {
      EXPECT_FALSE(slice.indices.empty());
      for (int64_t index : slice.indices) {
        EXPECT_TRUE(taken.emplace(group.class_id, slice.state, index).second) << slice.state;
      }
    }
  }
  int64_t expected = 0;
  for (const ChannelClass& channels : net.classes) {
    expected += channels.prunable() ? channels.extent : 0;
  }
  EXPECT_EQ(units, expected);
}

TEST_P(GroupsTest, ElementsAndMacsAreThoseThatACutSaves) {
  const Analysed net = Analyse(GetParam().make());
  const auto elements = [](const Tensors& states, const Graph& graph) {
    size_t count = 0;
    for (const Value& value : graph.values) {
      if (value.trainable) count += states.at(value.state).data.size();
    }
    return static_cast<int64_t>(count);
  };
  const Tensors states = RandomStates(net.graph, 1);
  for (const Group& group : Groups(net.graph, net.axes, net.classes)) {
    if (group.unit != 0) continue;
    Graph smaller = net.graph;
    Tensors kept = states;
    ApplyCut(*MakeCut(net.graph, net.axes, net.classes, {{group.class_id, {0}}}), &smaller, &kept);
    smaller = WithShapes(smaller, kept);
    EXPECT_EQ(group.macs, Macs(net.graph) - Macs(smaller)) << "class " << group.class_id;
    // A cut also takes what reads the unit.
    EXPECT_LE(group.elements, elements(states, net.graph) - elements(kept, smaller));
    EXPECT_GT(group.elements, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Nets, GroupsTest, testing::ValuesIn(Nets()),
                         [](const auto& info) { return info.param.name; });

TEST(Groups, AreOfWhatMakesAndScales) {
  GraphBuilder b;
  const ValueId x = b.BatchNorm("bn", b.Conv("conv", b.Input({2, 3, 3}), 2, 6, 3), 6);
  const Analysed net = Analyse(b.Build({b.Conv("last", x, 6, 2, 1)}));
  const std::vector<Group> groups = Groups(net.graph, net.axes, net.classes);
  ASSERT_EQ(groups.size(), 6);
  std::set<std::string> states;
  for (const Slice& slice : groups[4].slices) {
    states.insert(slice.state);
    EXPECT_EQ(slice.indices, Ints{4});
  }
  EXPECT_EQ(states, (std::set<std::string>{"conv.weight", "conv.bias", "bn.weight", "bn.bias"}));
  EXPECT_EQ(groups[4].elements, 2 * 9 + 3);
  EXPECT_EQ(groups[4].macs, 9 * (2 * 9 + 2));
}

TEST(SlicesToZero, JoinsWhatGroupsHaveInCommon) {
  std::vector<Group> groups(2);
  groups[0].slices = {{"w", 0, {3}}, {"b", 0, {3}}};
  groups[1].slices = {{"w", 0, {1, 3}}, {"w", 1, {0}}};
  const std::vector<Slice> slices = SlicesToZero(groups);
  ASSERT_EQ(slices.size(), 3);
  EXPECT_EQ(slices[0].indices, (Ints{1, 3}));
  EXPECT_EQ(slices[1].state, "b");
  EXPECT_EQ(slices[2].dim, 1);
}

TEST(Macs, AreCountedForOneSample) {
  GraphBuilder b;
  ValueId x = b.Conv("conv", b.Input({4, 3, 3}), 4, 6, 3, 2);
  x = b.Op("aten::flatten", {{x}, {int64_t{1}}, {int64_t{-1}}});
  EXPECT_EQ(Macs(b.Build({b.Linear("fc", x, 54, 5)})), 9 * 6 * 2 * 9 + 54 * 5);
}

}  // namespace
}  // namespace sluice::graph
