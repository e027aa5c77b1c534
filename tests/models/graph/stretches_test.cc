#include "models/graph/stretches.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "tests/models/graph/analysed.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

struct Stretched {
  Graph graph;
  std::vector<Stretch> stretches;

  explicit Stretched(Graph of) : graph(std::move(of)) {
    stretches = FindStretches(graph, Analyse(graph).axes);
  }

  /// The stretch that the parameter is in.
  int32_t Of(const std::string& parameter) const {
    for (size_t i = 0; i < stretches.size(); ++i) {
      for (ValueId id : stretches[i].parameters) {
        if (graph.values[id].state == parameter) return static_cast<int32_t>(i);
      }
    }
    ADD_FAILURE() << parameter << " is in no stretch";
    return 0;
  }
  const Stretch& operator[](const std::string& parameter) const { return stretches[Of(parameter)]; }
  std::vector<int32_t> Choose(const std::vector<std::string>& order, size_t count) const {
    std::vector<int32_t> ids;
    for (const std::string& parameter : order) ids.push_back(Of(parameter));
    return ChooseErasures(graph, stretches, ids, count);
  }
};

/// Two layers around which nothing leads: stem -> (a + b) -> head.
Stretched TwoBranches() {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId left = b.Relu(b.Linear("left2", b.Relu(b.Linear("left", x, 6, 4)), 4, 6));
  const ValueId sum = b.Add(left, b.Linear("right", x, 6, 6));
  return Stretched(b.Build({b.Linear("head", sum, 6, 3)}));
}

TEST(Stretches, AreOperatorsInARow) {
  const Stretched net = TwoBranches();
  ASSERT_EQ(net.stretches.size(), 5);
  EXPECT_EQ(net["stem.weight"].nodes, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(net["left.weight"].nodes, (std::vector<int32_t>{2, 3, 4, 5}));
  EXPECT_EQ(net["stem.weight"].after,
            (std::vector<int32_t>{net.Of("left.weight"), net.Of("right.weight")}));
  EXPECT_EQ(net.stretches[3].joint, Stretch::Joint::kAdd);
}

TEST(Stretches, BetweenJointsCanBeErased) {
  const Stretched net = TwoBranches();
  EXPECT_TRUE(net["left.weight"].erasable());
  EXPECT_TRUE(net["right.weight"].erasable());
  EXPECT_FALSE(net["stem.weight"].erasable());
  EXPECT_EQ(net["head.weight"].reasons[0], "it makes the network's output");
}

TEST(Stretches, UnderAProductCannotBeErased) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId y = b.Mul(x, b.Linear("gate", x, 6, 6));
  const Stretched net(b.Build({b.Linear("head", y, 6, 3)}));
  EXPECT_EQ(net["gate.weight"].reasons[0],
            "aten::mul at line 3 reads it, which needs all that it reads");
}

TEST(Stretches, ThatDoNotGiveZerosCannotBeErased) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId y = b.Add(x, b.Op("aten::sigmoid", {{b.Linear("branch", x, 6, 6)}}));
  const Stretched net(b.Build({b.Linear("head", y, 6, 3)}));
  EXPECT_EQ(net["branch.weight"].reasons[0], "with its parameters at zero it does not give zeros");
}

TEST(Stretches, WithSharedParametersCannotBeErased) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId weight = b.Parameter("shared", {6, 6});
  const auto call = [&](ValueId of) { return b.Op("aten::linear", {{of}, {weight}, {}}); };
  const ValueId y = b.Add(x, call(x));
  const Stretched net(b.Build({b.Linear("head", b.Add(y, call(y)), 6, 3)}));
  EXPECT_EQ(net["shared"].reasons[0], "shared is used elsewhere too");
}

TEST(Stretches, ConcatenatedOnesNeedChannelsOfTheirOwn) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId free = b.Linear("free", x, 6, 4);
  const ValueId scaled = b.Linear("scaled", x, 6, 4);
  const ValueId both = b.Cat({free, x}, 1);
  const ValueId normed = b.BatchNorm("bn", b.Cat({scaled, both}, 1), 14);
  const Stretched net(b.Build({b.Linear(
      "head", b.Add(b.Linear("tail", both, 10, 7), b.Linear("tail2", normed, 14, 7)), 7, 3)}));
  EXPECT_EQ(net["scaled.weight"].reasons[0], "bn.weight makes or scales its channels too");
}

TEST(Stretches, ConcatenatedOnesWithChannelsOfTheirOwnCanBeErased) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId both = b.Relu(b.Cat({b.Linear("one", x, 6, 4), b.Linear("two", x, 6, 4)}, 1));
  const Stretched net(b.Build({b.Linear("head", both, 8, 3)}));
  EXPECT_TRUE(net["one.weight"].erasable());
  EXPECT_EQ(net.Choose({"one.weight", "two.weight"}, 2),
            std::vector<int32_t>{net.Of("one.weight")});
}

TEST(Stretches, ZeroParametersComputeWhatErasingDoes) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const Graph without = b.Build({b.Linear("head", x, 6, 3)});
  GraphBuilder c;
  const ValueId y = c.Relu(c.Linear("stem", c.Input({5}), 5, 6));
  const ValueId branch = c.BatchNorm("bn", c.Relu(c.Linear("branch", y, 6, 6)), 6);
  const Stretched net(c.Build({c.Linear("head", c.Add(y, branch), 6, 3)}));
  ASSERT_TRUE(net["branch.weight"].erasable());
  const Group group = ErasureGroup(net.graph, net.stretches, net.Of("branch.weight"));
  EXPECT_EQ(group.elements, 36 + 6 + 6 + 6);
  EXPECT_EQ(group.macs, 36);
  const Tensors states = RandomStates(net.graph, 1);
  const std::vector<Tensor> inputs = RandomInputs(net.graph, 2, false);
  EXPECT_LT(Distance(Compute(net.graph, Masked(states, SlicesToZero({group})), inputs),
                     Compute(without, states, inputs)),
            1e-12);
}

TEST(Stretches, ConcatenatedOnesNeedReadersOfTheWhole) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId all = b.Cat({b.Linear("one", x, 6, 4), b.Linear("two", x, 6, 7), x}, 1);
  const ValueId part =
      b.Op("aten::slice", {{all}, {int64_t{1}}, {int64_t{0}}, {int64_t{4}}, {int64_t{1}}});
  const ValueId sum = b.Add(b.Linear("tail", all, 17, 6), b.Linear("of_part", part, 4, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  EXPECT_EQ(net["one.weight"].reasons[0],
            "aten::slice at line 5 has its channels without all of those that they are "
            "concatenated with");
  EXPECT_TRUE(net["two.weight"].erasable());
}

TEST(Stretches, AreNamedAfterTheirModules) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId one = b.Linear("cell.one.b", b.Relu(b.Linear("cell.one.a", x, 6, 6)), 6, 6);
  const ValueId two = b.BatchNorm("cell.bn", b.Linear("cell.two", x, 6, 6), 6);
  const Stretched net(b.Build({b.Linear("head", b.Add(one, two), 6, 3)}));
  const auto name = [&](const std::string& parameter) {
    return NameOf(net.graph, net.stretches, net.Of(parameter));
  };
  EXPECT_EQ(name("cell.one.a.weight"), "cell.one");
  EXPECT_EQ(name("cell.bn.weight"), "cell.two+cell.bn");
  EXPECT_EQ(name("stem.weight"), "stem");
  const std::string table = StretchTable(net.graph, net.stretches);
  EXPECT_NE(table.find("cell.one, 84 parameters: can be erased\n"), std::string::npos) << table;
  EXPECT_NE(table.find("head, 21 parameters: it makes the network's output\n"), std::string::npos)
      << table;
}

TEST(ErasureBreach, AJointNeedsOneOfItsTensors) {
  const Stretched net = TwoBranches();
  std::vector<bool> erased(net.stretches.size(), false);
  EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased));
  erased[net.Of("left.weight")] = true;
  EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased));
  erased[net.Of("right.weight")] = true;
  EXPECT_EQ(*ErasureBreach(net.graph, net.stretches, erased),
            "aten::add at line 7 would be left without input");
}

TEST(ErasureBreach, ASumThatOnlySumsReadMayLoseAllThatItAdds) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  const ValueId inner = b.Add(b.Linear("one", x, 6, 6), b.Linear("two", x, 6, 6));
  const ValueId sum = b.Add(inner, b.Linear("three", x, 6, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  std::vector<bool> erased(net.stretches.size(), false);
  erased[net.Of("one.weight")] = erased[net.Of("two.weight")] = true;
  EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased));
  erased[net.Of("three.weight")] = true;
  EXPECT_EQ(*ErasureBreach(net.graph, net.stretches, erased),
            "aten::add at line 6 would be left without input");
}

TEST(ErasureBreach, EachInputMustReachAnOutput) {
  GraphBuilder b;
  const ValueId first = b.Input({5}), second = b.Input({4});
  const ValueId sum = b.Add(b.Linear("one", first, 5, 6), b.Linear("two", second, 4, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  std::vector<bool> erased(net.stretches.size(), false);
  erased[net.Of("two.weight")] = true;
  EXPECT_EQ(*ErasureBreach(net.graph, net.stretches, erased),
            "input value 1 would reach no output");
}

TEST(ErasureBreach, AnInputThatNeverReachedAnOutputNeedNot) {
  GraphBuilder b;
  const ValueId first = b.Input({5}), second = b.Input({4});
  b.Linear("unused", second, 4, 6);
  const ValueId sum = b.Add(b.Linear("one", first, 5, 6), b.Linear("two", first, 5, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  std::vector<bool> erased(net.stretches.size(), false);
  EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased));
  erased[net.Of("two.weight")] = true;
  EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased));
}

TEST(ErasureBreach, WhatIsBroadcastCannotStandAlone) {
  GraphBuilder b;
  const ValueId x = b.Relu(b.Linear("stem", b.Input({3, 5}), 5, 6));
  const ValueId mean = b.Op("aten::mean", {{x}, {std::vector<int64_t>{1}}, {true}});
  const ValueId sum = b.Add(b.Linear("whole", x, 6, 6), b.Linear("mean", mean, 6, 6));
  const Stretched net(b.Build({b.Linear("head", sum, 6, 3)}));
  std::vector<bool> erased(net.stretches.size(), false);
  erased[net.Of("mean.weight")] = true;
  EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased));
  erased[net.Of("mean.weight")] = false;
  erased[net.Of("whole.weight")] = true;
  EXPECT_TRUE(ErasureBreach(net.graph, net.stretches, erased));
}

TEST(ChooseErasures, SkipsATopScoreThatWouldDisconnect) {
  const Stretched net = TwoBranches();
  EXPECT_EQ(net.Choose({"left.weight", "right.weight"}, 2),
            std::vector<int32_t>{net.Of("left.weight")});
  EXPECT_EQ(net.Choose({"stem.weight", "head.weight", "right.weight"}, 2),
            std::vector<int32_t>{net.Of("right.weight")});
}

TEST(ChooseErasures, StopsAtTheCount) {
  GraphBuilder b;
  ValueId x = b.Relu(b.Linear("stem", b.Input({5}), 5, 6));
  for (const char* name : {"a", "b", "c"}) x = b.Add(x, b.Linear(name, x, 6, 6));
  const Stretched net(b.Build({b.Linear("head", x, 6, 3)}));
  EXPECT_EQ(net.Choose({"c.weight", "a.weight", "b.weight"}, 2),
            (std::vector<int32_t>{net.Of("c.weight"), net.Of("a.weight")}));
}

/// Each accepted set leaves a network, in whatever order candidates come.
TEST(ChooseErasures, EveryPrefixLeavesANetwork) {
  const RandomKey key(7);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    GraphBuilder b;
    std::vector<ValueId> made = {b.Relu(b.Linear("stem", b.Input({5}), 5, 6))};
    for (uint64_t i = 0; i < 8; ++i) {
      const RandomKey draw = key.With(seed).With(i);
      const std::string name = "branch" + std::to_string(i);
      const ValueId from = made[draw.Bits(0) % made.size()], to = made[draw.Bits(1) % made.size()];
      made.push_back(b.Add(b.Linear(name, from, 6, 6),
                           draw.Bits(2) % 2 == 0 ? to : b.Linear(name + "b", to, 6, 6)));
    }
    const Stretched net(b.Build({b.Linear("head", made.back(), 6, 3)}));
    std::vector<int32_t> order(net.stretches.size());
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[key.With(seed).With("order").Bits(i) % i]);
    }
    std::vector<bool> erased(net.stretches.size(), false);
    for (int32_t chosen : ChooseErasures(net.graph, net.stretches, order, order.size())) {
      EXPECT_TRUE(net.stretches[chosen].erasable());
      erased[chosen] = true;
      EXPECT_FALSE(ErasureBreach(net.graph, net.stretches, erased)) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace sluice::graph
