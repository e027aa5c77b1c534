#include "models/graph/axis_analysis.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/models/graph/analysed.h"
#include "tests/models/graph/reference.h"

namespace sluice::graph {
namespace {

using Ints = std::vector<int64_t>;

/// What becomes of 8 channels of a layer, n x 8 x 4 x 4, behind which `between` gives x for a layer that reads `out`
/// channels of it: the class that "conv.weight" makes.
ChannelClass Behind(const std::function<ValueId(GraphBuilder&, ValueId)>& between, int64_t out) {
  GraphBuilder b;
  const ValueId x = between(b, b.Conv("conv", b.Input({2, 4, 4}), 2, 8, 1));
  const Analysed net = Analyse(b.Build({b.Conv("last", x, out, 3, 1)}));
  return net.ClassOf("conv.weight");
}

/// The same for 8 features, n x 8.
ChannelClass BehindLinear(const std::function<ValueId(GraphBuilder&, ValueId)>& between,
                          int64_t out) {
  GraphBuilder b;
  const ValueId x = between(b, b.Linear("fc", b.Input({2}), 2, 8));
  const Analysed net = Analyse(b.Build({b.Linear("last", x, out, 3)}));
  return net.ClassOf("fc.weight");
}

TEST(AxisAnalysis, ALayersChannelsAreAClass) {
  const ChannelClass channels = BehindLinear([](auto&, ValueId x) { return x; }, 8);
  EXPECT_TRUE(channels.prunable());
  EXPECT_EQ(channels.extent, 8);
  EXPECT_EQ(channels.makers.size(), 1);
  EXPECT_EQ(channels.scalers.size(), 1);  // the bias
  EXPECT_EQ(channels.readers.size(), 1);
}

TEST(AxisAnalysis, InputsAndOutputsAreFixed) {
  GraphBuilder b;
  const Analysed net = Analyse(b.Build({b.Linear("fc", b.Input({5}), 5, 4)}));
  ASSERT_EQ(net.classes.size(), 1);
  EXPECT_EQ(net.classes[0].reasons, std::vector<std::string>{"it is the network's output"});
}

TEST(AxisAnalysis, SumsShareAClass) {
  GraphBuilder b;
  const ValueId x = b.Input({5});
  const ValueId sum = b.Add(b.Linear("left", x, 5, 4), b.Linear("right", x, 5, 4));
  const Analysed net = Analyse(b.Build({b.Linear("last", sum, 4, 3)}));
  EXPECT_EQ(net.ClassOf("left.weight").id, net.ClassOf("right.weight").id);
}

TEST(AxisAnalysis, BroadcastTensorsImposeNothing) {
  const ChannelClass channels = Behind(
      [](GraphBuilder& b, ValueId x) {
        return b.Mul(x, b.Op("aten::mean", {{x}, {Ints{2, 3}}, {true}}));
      },
      8);
  EXPECT_TRUE(channels.prunable());
}

TEST(AxisAnalysis, ConcatenatedChannelsStayApart) {
  GraphBuilder b;
  const ValueId x = b.Input({5});
  const ValueId both = b.Cat({b.Linear("left", x, 5, 4), b.Linear("right", x, 5, 4)}, 1);
  const Analysed net = Analyse(b.Build({b.Linear("last", both, 8, 3)}));
  EXPECT_NE(net.ClassOf("left.weight").id, net.ClassOf("right.weight").id);
}

TEST(AxisAnalysis, ConcatenationAlongPositionsIsASum) {
  GraphBuilder b;
  const ValueId x = b.Input({3, 5});
  const ValueId both = b.Cat({b.Linear("left", x, 5, 4), b.Linear("right", x, 5, 4)}, 1);
  const Analysed net = Analyse(b.Build({b.Linear("last", both, 4, 3)}));
  EXPECT_EQ(net.ClassOf("left.weight").id, net.ClassOf("right.weight").id);
}

TEST(AxisAnalysis, ReshapedChannelsAreCutByTheirOuterUnits) {
  const ChannelClass channels = BehindLinear(
      [](GraphBuilder& b, ValueId x) {
        return b.View(b.View(x, {2, 4, 2}), {-1, 8});
      },
      8);
  EXPECT_EQ(channels.extent, 4);
  EXPECT_TRUE(channels.prunable());
}

TEST(AxisAnalysis, WhatIsLaidTogetherWithTheBatchIsFixed) {
  GraphBuilder b;
  ValueId x = b.Linear("fc", b.Input({2}), 2, 8);
  x = b.View(b.Op("aten::unsqueeze", {{x}, {int64_t{2}}}), {-1, 1});
  Graph graph = b.Build({b.Linear("last", x, 1, 3)});
  // As a tracer has it: the size is a number.
  std::get<Ints>(graph.nodes[2].operands[1].of)[0] = 16;
  const Analysed net = Analyse(graph);
  EXPECT_EQ(net.ClassOf("fc.weight").reasons[0],
            "aten::view at line 2 lays it together with what depends on the batch");
}

TEST(AxisAnalysis, BatchLiteralsAreLeftAlone) {
  GraphBuilder b;
  const ValueId x = b.Linear("fc", b.Input({2}), 2, 8);
  const Analysed net = Analyse(b.Build({b.Linear("last", b.View(x, {2, 8}), 8, 3)}));
  const auto cut = MakeCut(net.graph, net.axes, net.classes, {{0, {1, 5}}});
  ASSERT_TRUE(cut.ok());
  ASSERT_EQ(cut->constants.size(), 1);
  EXPECT_EQ(cut->constants[0].node, 1);
  EXPECT_EQ(cut->constants[0].element, 1);
  EXPECT_EQ(cut->constants[0].value, 6);
}

TEST(AxisAnalysis, SoftmaxFixesWhatItRunsAlong) {
  const ChannelClass channels =
      BehindLinear([](GraphBuilder& b, ValueId x) { return b.Softmax(x); }, 8);
  EXPECT_EQ(channels.reasons[0], "aten::softmax at line 1 runs along it");
}

TEST(AxisAnalysis, LayerNormFixesWhatItTakesStatisticsOf) {
  const ChannelClass channels =
      BehindLinear([](GraphBuilder& b, ValueId x) { return b.LayerNorm("ln", x, 8); }, 8);
  EXPECT_EQ(channels.reasons[0], "aten::layer_norm at line 1 takes statistics of it");
}

TEST(AxisAnalysis, MeansOverChannelsFixThem) {
  const ChannelClass channels = Behind(
      [](GraphBuilder& b, ValueId x) {
        return b.Op("aten::mean", {{x}, {Ints{1}}, {true}});
      },
      1);
  EXPECT_EQ(channels.reasons[0], "its zeros would count in aten::mean at line 1");
}

TEST(AxisAnalysis, SumsOverChannelsAreAllowed) {
  const ChannelClass channels = Behind(
      [](GraphBuilder& b, ValueId x) {
        return b.Op("aten::sum", {{x}, {Ints{1}}, {true}});
      },
      1);
  EXPECT_TRUE(channels.prunable());
}

TEST(AxisAnalysis, GroupNormLeavesWholeGroups) {
  const ChannelClass channels = Behind(
      [](GraphBuilder& b, ValueId x) {
        const ValueId scale = b.Parameter("gn.weight", {8}), shift = b.Parameter("gn.bias", {8});
        return b.Op("aten::group_norm", {{x}, {int64_t{4}}, {scale}, {shift}, {1e-5}, {false}});
      },
      8);
  EXPECT_EQ(channels.extent, 4);
  EXPECT_TRUE(channels.prunable());
}

TEST(AxisAnalysis, PixelShuffleLeavesTheChannelsItMakes) {
  const ChannelClass channels = Behind(
      [](GraphBuilder& b, ValueId x) {
        return b.Op("aten::pixel_shuffle", {{x}, {int64_t{2}}});
      },
      2);
  EXPECT_EQ(channels.extent, 2);
  EXPECT_TRUE(channels.prunable());
}

TEST(AxisAnalysis, SelectingAChannelFixesAll) {
  const ChannelClass channels = Behind(
      [](GraphBuilder& b, ValueId x) {
        x = b.Op("aten::select", {{x}, {int64_t{1}}, {int64_t{3}}});
        return b.Op("aten::unsqueeze", {{x}, {int64_t{1}}});
      },
      1);
  EXPECT_EQ(channels.reasons[0], "aten::select at line 1 takes one of it by index");
}

TEST(AxisAnalysis, PartsOfAChunkLoseTheSame) {
  GraphBuilder b;
  const auto parts =
      b.Ops("aten::chunk", {{b.Linear("fc", b.Input({5}), 5, 8)}, {int64_t{2}}, {int64_t{1}}}, 2);
  const Analysed net = Analyse(b.Build({b.Linear("last", b.Cat(parts, 1), 8, 3)}));
  EXPECT_EQ(net.ClassOf("fc.weight").extent, 4);
  EXPECT_EQ(net.Prunable(), 1);
}

TEST(AxisAnalysis, PartsBySizesAreFreeOfEachOther) {
  GraphBuilder b;
  const auto parts = b.Ops("aten::split_with_sizes",
                           {{b.Linear("fc", b.Input({5}), 5, 8)}, {Ints{5, 3}}, {int64_t{1}}}, 2);
  const Analysed net = Analyse(b.Build({b.Linear("last", b.Cat({parts[1], parts[0]}, 1), 8, 3)}));
  EXPECT_EQ(net.Prunable(), 2);
}

TEST(AxisAnalysis, DepthwiseConvolutionsAreOfTheirInputsClass) {
  GraphBuilder b;
  const ValueId x = b.Conv("conv", b.Input({2, 3, 3}), 2, 6, 1);
  const ValueId y = b.Conv("depthwise", x, 6, 6, 3, 6);
  const Analysed net = Analyse(b.Build({b.Conv("last", y, 6, 2, 1)}));
  const ChannelClass& channels = net.ClassOf("conv.weight");
  EXPECT_EQ(channels.id, net.ClassOf("depthwise.weight").id);
  EXPECT_EQ(channels.makers.size(), 1);  // the depthwise layer scales
  const auto cut = MakeCut(net.graph, net.axes, net.classes, {{channels.id, {2}}});
  ASSERT_TRUE(cut.ok());
  ASSERT_EQ(cut->constants.size(), 1);  // its groups
  EXPECT_EQ(cut->constants[0].operand, 6);
  EXPECT_EQ(cut->constants[0].value, 5);
}

TEST(AxisAnalysis, AnUnknownOperatorIsToldAndTheRestStillPruned) {
  GraphBuilder b;
  const ValueId x = b.Linear("fc1", b.Relu(b.Linear("fc0", b.Input({5}), 5, 8)), 8, 6);
  const ValueId y = b.Op("test::mystery", {{x}});
  const Analysed net = Analyse(b.Build({b.Linear("last", y, 6, 3)}));
  EXPECT_TRUE(net.ClassOf("fc0.weight").prunable());
  EXPECT_EQ(net.ClassOf("fc1.weight").reasons,
            std::vector<std::string>{"test::mystery at line 3: the operator is unknown"});
  ASSERT_EQ(net.axes.unsupported.size(), 1);
  EXPECT_EQ(net.axes.unsupported[0].node, 3);
}

TEST(AxisAnalysis, OperandsThatAreNoConstantsAreToldToo) {
  GraphBuilder b;
  const ValueId x = b.Linear("fc", b.Input({5}), 5, 8);
  Graph graph = b.Build({b.Linear("last", b.View(x, {-1, 8}), 8, 3)});
  graph.nodes[1].operands[1].of = std::monostate();
  const Analysed net = Analyse(graph);
  ASSERT_EQ(net.axes.unsupported.size(), 1);
  EXPECT_EQ(net.axes.unsupported[0].why, "its sizes are no constants");
}

TEST(AxisAnalysis, ParametersThatAreAddedTakeTheAxis) {
  GraphBuilder b;
  const ValueId x = b.Linear("fc", b.Input({3, 5}), 5, 8);
  const ValueId y = b.Add(x, b.Parameter("positions", {1, 3, 8}));
  const Analysed net = Analyse(b.Build({b.Linear("last", y, 8, 3)}));
  EXPECT_EQ(net.ClassOf("positions", 2).id, net.ClassOf("fc.weight").id);
  EXPECT_TRUE(net.ClassOf("fc.weight").prunable());
}

TEST(AxisAnalysis, EmbeddingsMakeTheirColumns) {
  GraphBuilder b;
  const ValueId weight = b.Parameter("tokens.weight", {11, 8});
  const ValueId x = b.Op("aten::embedding", {{weight}, {b.Input({3})}, {int64_t{-1}}});
  const Analysed net = Analyse(b.Build({b.Linear("last", x, 8, 3)}));
  EXPECT_TRUE(net.ClassOf("tokens.weight", 1).prunable());
}

TEST(AxisAnalysis, TiedEmbeddingsKeepTheVocabulary) {
  GraphBuilder b;
  const ValueId weight = b.Parameter("tokens.weight", {11, 8});
  const ValueId x = b.Op("aten::embedding", {{weight}, {b.Input({3})}, {int64_t{-1}}});
  const Analysed net = Analyse(b.Build({b.Op("aten::linear", {{b.Relu(x)}, {weight}, {}})}));
  ASSERT_EQ(net.Prunable(), 1);
  EXPECT_TRUE(net.ClassOf("tokens.weight", 1).prunable());
  EXPECT_LT(CutDistance(net, SomeUnits(net.classes, 3), 3), 1e-9);
}

TEST(AxisAnalysis, RefusesAGraphOutOfOrder) {
  GraphBuilder b;
  Graph graph = b.Build({b.Relu(b.Linear("fc", b.Input({5}), 5, 4))});
  std::swap(graph.nodes[0].operands[0], graph.nodes[1].operands[0]);
  EXPECT_EQ(AnalyseAxes(graph).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(AxisAnalysis, AThousandNodesAreAnalysed) {
  GraphBuilder b;
  ValueId x = b.Input({4});
  for (int layer = 0; layer < 500; ++layer) {
    x = b.Relu(b.Linear("fc" + std::to_string(layer), x, 4, 4));
    if (layer > 0 && layer % 10 == 0) x = b.Add(x, x);
  }
  const Analysed net = Analyse(b.Build({x}));
  EXPECT_EQ(net.Prunable(), 499);
}

}  // namespace
}  // namespace sluice::graph
