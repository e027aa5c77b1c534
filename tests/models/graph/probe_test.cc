#include "models/graph/probe.h"

#include <torch/types.h>

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "models/graph/importer.h"
#include "tests/models/graph/networks.h"

namespace sluice::graph {
namespace {

struct Analysed {
  AxisAnalysis axes;
  std::vector<ChannelClass> classes;
};

Analysed Analyse(const Graph& graph, ClassOptions options = {}) {
  options.divisor = 1;
  auto axes = AnalyseAxes(graph);
  EXPECT_TRUE(axes.ok()) << axes.status();
  auto classes = FindClasses(graph, *axes, options);
  EXPECT_TRUE(classes.ok()) << classes.status();
  return {*std::move(axes), *std::move(classes)};
}

int64_t Prunable(const std::vector<ChannelClass>& classes) {
  return std::count_if(classes.begin(), classes.end(),
                       [](const ChannelClass& channels) { return channels.prunable(); });
}

std::string Reasons(const std::vector<ChannelClass>& classes) {
  std::string all;
  for (const ChannelClass& channels : classes) {
    all += std::to_string(channels.id) + " of " + std::to_string(channels.extent) + ":";
    for (const std::string& reason : channels.reasons) all += " " + reason + ";";
    all += "\n";
  }
  return all;
}

// Each class alone and all together: the masked network computes what the cut one does.
void ExpectExact(const Imported& imported, const std::vector<at::Tensor>& inputs,
                 const ClassOptions& options = {}) {
  for (const auto precision : {Evaluator::Precision::kDouble, Evaluator::Precision::kAsIs}) {
    Analysed net = Analyse(imported.graph, options);
    const int64_t prunable = Prunable(net.classes);
    EXPECT_GT(prunable, 0) << Reasons(net.classes);
    ProbeOptions probe;
    probe.precision = precision;
    probe.tolerance = precision == Evaluator::Precision::kDouble ? 1e-9 : 1e-5;
    const auto result = Probe(imported, net.axes, inputs, probe, &net.classes);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(Prunable(net.classes), prunable) << Reasons(net.classes);
  }
}

class ZooProbe : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Names, ZooProbe, testing::ValuesIn(ZooNames()));

TEST_P(ZooProbe, CutNetworksComputeWhatMaskedOnesDo) {
  torch::manual_seed(3);
  const auto network = SmallNetwork(GetParam());
  DrawStatistics(*network);
  const auto imported = ImportNetwork(*network, InputsOf(GetParam(), 2));
  ASSERT_TRUE(imported.ok()) << imported.status();
  ExpectExact(*imported, InputsOf(GetParam(), 1));
}

class ScriptProbe : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Names, ScriptProbe,
                         testing::Values("cnn", "resnet", "transformer", "two_inputs",
                                         "resnet_traced", "cnn_traced_eval", "Frozen"));

TEST_P(ScriptProbe, CutNetworksComputeWhatMaskedOnesDo) {
  torch::manual_seed(3);
  const auto imported = ImportScriptFile(ScriptPath(GetParam()), ScriptInputsOf(GetParam(), 2));
  ASSERT_TRUE(imported.ok()) << imported.status();
  ExpectExact(*imported, ScriptInputsOf(GetParam(), 3));
}

TEST(Probe, WidthsOfHeadsAreExactToo) {
  torch::manual_seed(3);
  const auto imported =
      ImportScriptFile(ScriptPath("transformer"), ScriptInputsOf("transformer", 2));
  ASSERT_TRUE(imported.ok()) << imported.status();
  ClassOptions options;
  options.nested = ClassOptions::Nested::kInner;
  ExpectExact(*imported, ScriptInputsOf("transformer", 3), options);
}

TEST(Probe, AClassThatIsNotZeroInvariantIsFound) {
  torch::manual_seed(3);
  const auto network = SmallNetwork("cnn");
  const auto imported = ImportNetwork(*network, InputsOf("cnn", 2));
  ASSERT_TRUE(imported.ok()) << imported.status();
  Analysed net = Analyse(imported->graph);
  // As if the analysis had overlooked a bias.
  auto& wrong = *std::find_if(net.classes.begin(), net.classes.end(), [](const ChannelClass& one) {
    return one.prunable() && !one.scalers.empty();
  });
  wrong.scalers.clear();
  const int64_t prunable = Prunable(net.classes);
  const auto result = Probe(*imported, net.axes, InputsOf("cnn", 2), {}, &net.classes);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Prunable(net.classes), prunable - 1);
  EXPECT_EQ(wrong.reasons.at(0).rfind("probe failed: ", 0), 0u) << wrong.reasons[0];
}

}  // namespace
}  // namespace sluice::graph
