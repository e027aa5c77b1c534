#include "models/graph/probe.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "models/graph/erase.h"
#include "models/graph/evaluator.h"
#include "models/graph/importer.h"
#include "models/graph/rebuild.h"
#include "models/graph/stretches.h"
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
                                         "resnet_traced", "cnn_traced_eval", "Frozen", "cells"));

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

struct Cells {
  Imported imported;
  AxisAnalysis axes;
  std::vector<Stretch> stretches;

  Cells() {
    torch::manual_seed(3);
    imported = *ImportScriptFile(ScriptPath("cells"), ScriptInputsOf("cells", 2));
    // As if it had been trained.
    for (State& state : imported.program.states) {
      if (absl::EndsWith(state.name, "running_mean")) state.tensor.normal_(0, 0.3);
      if (absl::EndsWith(state.name, "running_var")) state.tensor.uniform_(0.5, 1.5);
    }
    axes = *AnalyseAxes(imported.graph);
    stretches = FindStretches(imported.graph, axes);
  }

  std::vector<int32_t> Erasable() const {
    std::vector<int32_t> erasable;
    for (size_t i = 0; i < stretches.size(); ++i) {
      if (stretches[i].erasable()) erasable.push_back(static_cast<int32_t>(i));
    }
    return erasable;
  }
};

TEST(ProbeErasures, NetworksWithoutOperatorsComputeWhatMaskedOnesDo) {
  for (const auto precision : {Evaluator::Precision::kDouble, Evaluator::Precision::kAsIs}) {
    Cells cells;
    ASSERT_EQ(cells.Erasable().size(), 12u) << StretchTable(cells.imported.graph, cells.stretches);
    ProbeOptions probe;
    probe.precision = precision;
    probe.tolerance = precision == Evaluator::Precision::kDouble ? 1e-9 : 1e-5;
    const auto result = ProbeErasures(cells.imported, cells.axes, ScriptInputsOf("cells", 3), probe,
                                      &cells.stretches);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(cells.Erasable().size(), 12u) << StretchTable(cells.imported.graph, cells.stretches);
  }
}

TEST(ProbeErasures, WhatWouldLeaveNoNetworkAloneGetsAReason) {
  torch::manual_seed(3);
  const auto imported = ImportScriptFile(ScriptPath("two_inputs"), ScriptInputsOf("two_inputs", 2));
  ASSERT_TRUE(imported.ok()) << imported.status();
  const AxisAnalysis axes = *AnalyseAxes(imported->graph);
  std::vector<Stretch> stretches = FindStretches(imported->graph, axes);
  const auto erasable = [&] {
    return std::count_if(stretches.begin(), stretches.end(),
                         [](const Stretch& one) { return one.erasable(); });
  };
  EXPECT_EQ(erasable(), 2);  // each the way of an input
  const auto result =
      ProbeErasures(*imported, axes, ScriptInputsOf("two_inputs", 3), {}, &stretches);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(erasable(), 0);
}

TEST(ProbeErasures, AStretchThatDoesNotGiveZerosIsFound) {
  Cells cells;
  // As if the analysis had overlooked a bias: what is zeroed is the convolution alone.
  const int32_t wrong = cells.Erasable().front();
  cells.stretches[static_cast<size_t>(wrong)].parameters.resize(1);
  const auto result =
      ProbeErasures(cells.imported, cells.axes, ScriptInputsOf("cells", 2), {}, &cells.stretches);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(cells.Erasable().size(), 11u);
  EXPECT_EQ(cells.stretches[static_cast<size_t>(wrong)].reasons.at(0).rfind("probe failed: ", 0),
            0u);
}

TEST(Rebuild, WithoutOperatorsTheirModulesAreGoneAndTheRestTrains) {
  const Cells cells;
  std::vector<int32_t> order = cells.Erasable();
  std::reverse(order.begin(), order.end());
  const std::vector<int32_t> erased =
      ChooseErasures(cells.imported.graph, cells.stretches, order, 7);
  ASSERT_EQ(erased.size(), 7u);
  const auto cut = CutStretches(cells.imported.graph, cells.axes, cells.stretches, erased);
  ASSERT_TRUE(cut.ok()) << cut.status();
  auto module = Rebuild(cells.imported.program, *cut);
  ASSERT_TRUE(module.ok()) << module.status();

  std::map<std::string, at::Tensor> zeros;
  for (int32_t stretch : erased) {
    for (ValueId id : cells.stretches[static_cast<size_t>(stretch)].parameters) {
      const Value& value = cells.imported.graph.values[static_cast<size_t>(id)];
      zeros[value.state] = torch::zeros(value.shape);
    }
  }
  const auto inputs = ScriptInputsOf("cells", 3);
  const auto expected = Evaluator::Create(cells.imported.program)->Run(inputs, zeros);
  ASSERT_TRUE(expected.ok()) << expected.status();
  const at::Tensor got = RunScript(*module, inputs).at(0);
  EXPECT_LT((got - expected->at(0)).abs().max().item<double>(),
            1e-5 * expected->at(0).abs().max().item<double>());

  int64_t counters = 0;
  module->train();
  RunScript(*module, inputs);
  for (const auto& buffer : module->named_buffers()) {
    if (!absl::EndsWith(buffer.name, "num_batches_tracked")) continue;
    ++counters;
    EXPECT_EQ(buffer.value.item<int64_t>(), 1) << buffer.name;
  }
  EXPECT_EQ(counters, 1 + 2 * 7 - 7);  // of the stem, and of what is left of each cell
  for (const auto& parameter : module->named_parameters()) {
    EXPECT_EQ(zeros.count(parameter.name), 0u) << parameter.name;
  }
  // It is a network like any other, of which what was erased is known no more.
  const auto again = ImportScript(*module, inputs);
  ASSERT_TRUE(again.ok()) << again.status();
  const AxisAnalysis axes = *AnalyseAxes(again->graph);
  EXPECT_TRUE(axes.unsupported.empty());
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
