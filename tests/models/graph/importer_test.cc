#include "models/graph/importer.h"

#include <torch/csrc/jit/serialization/import.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/graph/channel_groups.h"
#include "models/graph/evaluator.h"
#include "models/graph/rebuild.h"
#include "models/torchscript/torchscript_network.h"
#include "models/zoo/zoo.h"
#include "tests/models/graph/networks.h"

namespace sluice::graph {
namespace {

using testing::HasSubstr;
using Tensors = std::vector<at::Tensor>;

constexpr int64_t kExample = 2;

Tensors Evaluate(const Program& program, const Tensors& inputs) {
  const auto evaluator = Evaluator::Create(program);
  EXPECT_TRUE(evaluator.ok()) << evaluator.status();
  const auto outputs = evaluator->Run(inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? *outputs : Tensors();
}

torch::jit::Module Reload(const torch::jit::Module& module) {
  std::stringstream file;
  module.save(file);
  return torch::jit::load(file);
}

void ExpectEqual(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << "output " << i;
}

// Every trained parameter has a gradient in training mode.
void ExpectTrainable(torch::jit::Module module, const Tensors& inputs, size_t parameters) {
  module.train();
  const std::vector<c10::IValue> arguments(inputs.begin(), inputs.end());
  c10::IValue result = module.forward(arguments);
  if (result.isTuple()) result = result.toTupleRef().elements()[0];
  result.toTensor().square().sum().backward();
  size_t trained = 0;
  for (const auto& parameter : module.named_parameters()) {
    if (!parameter.value.requires_grad()) continue;
    ++trained;
    EXPECT_TRUE(parameter.value.grad().defined()) << parameter.name;
  }
  EXPECT_EQ(trained, parameters);
}

class ZooImport : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    torch::manual_seed(3);
    network_ = SmallNetwork(GetParam());
    DrawStatistics(*network_);
    auto imported = ImportNetwork(*network_, InputsOf(GetParam(), kExample));
    ASSERT_TRUE(imported.ok()) << imported.status();
    imported_ = *std::move(imported);
  }

  Tensors Forward(const Tensors& inputs) {
    const torch::NoGradGuard no_gradients;
    network_->eval();
    return {network_->forward(inputs)};
  }

  std::shared_ptr<Network> network_;
  Imported imported_;
};

INSTANTIATE_TEST_SUITE_P(Names, ZooImport, testing::ValuesIn(ZooNames()));

TEST_P(ZooImport, EvaluatesToTheSameBitsWithAnyBatch) {
  EXPECT_TRUE(network_->is_training()) << "the import is not to change it";
  for (const int64_t samples : {kExample, kExample + 1, int64_t{5}}) {
    const Tensors inputs = InputsOf(GetParam(), samples);
    ExpectEqual(Evaluate(imported_.program, inputs), Forward(inputs));
  }
}

TEST_P(ZooImport, LeavesNoTrace) {
  const auto same = SmallNetwork(GetParam());
  const at::Tensor drawn = torch::rand({3});
  torch::manual_seed(7);
  const at::Tensor first = torch::rand({3});
  torch::manual_seed(7);
  std::map<std::string, at::Tensor> before;
  for (const auto& item : same->named_buffers()) before[item.key()] = item.value().clone();
  ASSERT_TRUE(ImportNetwork(*same, InputsOf(GetParam(), kExample)).ok());
  for (const auto& item : same->named_buffers()) {
    EXPECT_TRUE(torch::equal(item.value(), before[item.key()])) << item.key();
  }
  torch::manual_seed(7);
  EXPECT_TRUE(torch::equal(torch::rand({3}), first));
}

TEST_P(ZooImport, RebuiltItIsTheSameAndTrains) {
  const auto module = Rebuild(imported_.program);
  ASSERT_TRUE(module.ok()) << module.status();
  const torch::jit::Module reloaded = Reload(*module);
  for (const int64_t samples : {kExample, kExample + 1, int64_t{4}}) {
    const Tensors inputs = InputsOf(GetParam(), samples);
    const Tensors outputs = RunScript(*module, inputs), expected = Forward(inputs);
    ASSERT_EQ(outputs.size(), 1u);
    EXPECT_TRUE(torch::allclose(outputs[0], expected[0], 1e-6, 1e-6));
    ExpectEqual(RunScript(reloaded, inputs), outputs);
  }
  ExpectTrainable(reloaded, InputsOf(GetParam(), 4), network_->parameters().size());
}

TEST_P(ZooImport, RebuiltItHasTheSameNamesInTheirOrder) {
  const auto module = Rebuild(imported_.program);
  ASSERT_TRUE(module.ok()) << module.status();
  std::vector<std::string> names, expected;
  for (const auto& item : module->named_parameters()) names.push_back(item.name);
  for (const auto& item : network_->named_parameters()) expected.push_back(item.key());
  EXPECT_EQ(names, expected);
}

TEST_P(ZooImport, TheRebuiltModuleIsANetworkThatTrainsAsBefore) {
  const std::string path = absl::StrCat(testing::TempDir(), "/", GetParam(), ".pt");
  auto module = Rebuild(imported_.program);
  ASSERT_TRUE(module.ok()) << module.status();
  module->save(path);
  const Tensors inputs = InputsOf(GetParam(), 4);
  const auto again = LoadTorchScript(path, inputs, Forward(inputs)[0].sizes().vec());
  ASSERT_TRUE(again.ok()) << again.status();
  // One step in training mode from the same generator: the same dropout, the same gradients.
  std::vector<std::map<std::string, at::Tensor>> results;
  for (Network* const one : {network_.get(), again->get()}) {
    one->train();
    torch::optim::SGD optimizer(one->parameters(), torch::optim::SGDOptions(0.01));
    torch::manual_seed(5);
    one->forward(inputs).square().mean().backward();
    optimizer.step();
    results.emplace_back();
    for (const auto& item : one->named_parameters()) results.back()[item.key()] = item.value();
    for (const auto& item : one->named_buffers()) results.back()[item.key()] = item.value();
  }
  ASSERT_EQ(results[0].size(), results[1].size());
  for (const auto& [name, tensor] : results[0]) {
    EXPECT_TRUE(torch::allclose(tensor, results[1][name], 1e-5, 1e-6)) << name;
  }
}

TEST_P(ZooImport, ShapesDifferByTheBatchAlone) {
  const Graph& graph = imported_.graph;
  for (const Value& value : graph.values) {
    ASSERT_EQ(value.shape.size(), value.other_shape.size());
    if (!value.state.empty()) {
      EXPECT_EQ(value.shape, value.other_shape) << value.state;
    }
  }
  std::set<ValueId> known(graph.inputs.begin(), graph.inputs.end());
  for (const Node& node : graph.nodes) {
    for (const Operand& operand : node.operands) {
      if (const auto* const id = std::get_if<ValueId>(&operand.of)) {
        EXPECT_TRUE(known.count(*id) > 0 || !graph.values[*id].state.empty()) << node.op;
      }
    }
    EXPECT_NE(node.op.back(), '_') << node.op;
    EXPECT_FALSE(node.place.empty());
    known.insert(node.outputs.begin(), node.outputs.end());
  }
  const Value& logits = graph.values[graph.outputs.at(0)];
  EXPECT_EQ(logits.shape[0], kExample);
  EXPECT_EQ(logits.other_shape[0], kExample + 1);
}

// Multiplications of the convolutions and linear layers, counted by hand from the header's sizes.
TEST(ZooMacs, AreThoseOfItsLayers) {
  const auto macs = [](const std::string& name) {
    return Macs(ImportNetwork(*SmallNetwork(name), InputsOf(name, kExample))->graph);
  };
  // 16 x 16 pixels, halved three times by pools.
  EXPECT_EQ(macs("cnn"), 9 * (256 * 32 + 64 * 32 * 64 + 16 * 64 * 128 + 4 * 128 * 192) +
                             192 * 4 * 512 + 512 * 10);
  EXPECT_EQ(macs("mlp"), 256 * 40 + 40 * 40 + 40 * 10);
}

// The published figure is for 3 x 32 x 32.
TEST(ZooMacs, OfResnet18AreThePublishedOnes) {
  proto::Model model;
  model.set_name("resnet18");
  const auto network = *BuildNetwork(model, {{3, 32, 32}, 10, false}, 1);
  const auto imported = ImportNetwork(*network, {torch::randn({1, 3, 32, 32})});
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_NEAR(static_cast<double>(Macs(imported->graph)), 555.4e6, 0.1e6);
}

class ScriptImport : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Names, ScriptImport, testing::ValuesIn(ScriptNames()));

TEST_P(ScriptImport, EvaluatesToTheSameBitsWithAnyBatch) {
  torch::manual_seed(3);
  torch::jit::Module module = LoadScript(GetParam());
  const auto imported = ImportScript(module, ScriptInputsOf(GetParam(), kExample));
  ASSERT_TRUE(imported.ok()) << imported.status();
  module.eval();
  for (const int64_t samples : {kExample, kExample + 1, int64_t{5}}) {
    const Tensors inputs = ScriptInputsOf(GetParam(), samples);
    ExpectEqual(Evaluate(imported->program, inputs), RunScript(module, inputs));
  }
}

TEST_P(ScriptImport, RebuiltItIsTheSameAndTrains) {
  torch::manual_seed(3);
  torch::jit::Module module = LoadScript(GetParam());
  const auto imported = ImportScript(module, ScriptInputsOf(GetParam(), kExample));
  ASSERT_TRUE(imported.ok()) << imported.status();
  module.eval();
  const auto rebuilt = Rebuild(imported->program);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  const torch::jit::Module reloaded = Reload(*rebuilt);
  for (const int64_t samples : {kExample, int64_t{4}}) {
    const Tensors inputs = ScriptInputsOf(GetParam(), samples);
    const Tensors expected = RunScript(module, inputs), outputs = RunScript(*rebuilt, inputs);
    ASSERT_EQ(outputs.size(), expected.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_TRUE(torch::allclose(outputs[i], expected[i], 1e-6, 1e-6));
    }
    ExpectEqual(RunScript(reloaded, inputs), outputs);
  }
  size_t trained = 0;
  for (const State& state : imported->program.states) {
    if (state.trainable) trained += 1 + state.aliases.size();
  }
  if (trained > 0) ExpectTrainable(reloaded, ScriptInputsOf(GetParam(), 4), trained);
}

Imported ImportedScript(const std::string& name) {
  auto imported = ImportScriptFile(ScriptPath(name), ScriptInputsOf(name, kExample));
  EXPECT_TRUE(imported.ok()) << imported.status();
  return *std::move(imported);
}

TEST(Importer, ANetworkFromAFileIsImportedAsItsModuleIs) {
  for (const char* const name : {"resnet", "Tied", "Counting"}) {
    const auto inputs = ScriptInputsOf(name, kExample);
    const auto network = *LoadTorchScript(ScriptPath(name), inputs, {kExample, 10});
    const auto imported = ImportNetwork(*network, inputs);
    ASSERT_TRUE(imported.ok()) << imported.status();
    network->eval();
    const torch::NoGradGuard no_gradients;
    ExpectEqual(Evaluate(imported->program, inputs), {network->forward(inputs)});
    EXPECT_EQ(imported->graph.nodes.size(), ImportedScript(name).graph.nodes.size());
  }
}

TEST(Importer, TiedWeightsStayTied) {
  const Imported imported = ImportedScript("Tied");
  const torch::jit::Module rebuilt = Reload(*Rebuild(imported.program));
  const at::Tensor first = rebuilt.attr("first").toModule().attr("weight").toTensor();
  const at::Tensor second = rebuilt.attr("second").toModule().attr("weight").toTensor();
  EXPECT_EQ(first.data_ptr(), second.data_ptr());
}

TEST(Importer, WeightsOfAFrozenModuleAreParametersAgain) {
  const Imported imported = ImportedScript("Frozen");
  std::vector<std::string> names;
  for (const State& state : imported.program.states) {
    if (state.trainable) names.push_back(state.name);
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("convolution0.weight", "convolution0.bias",
                                                   "convolution1.weight", "convolution1.bias",
                                                   "linear0.weight", "linear0.bias",
                                                   "linear1.weight", "linear1.bias"));
}

TEST(Importer, BuffersThatTrainingChangesAreChangedByTheRebuiltModule) {
  const Imported imported = ImportedScript("Counting");
  torch::jit::Module rebuilt = Reload(*Rebuild(imported.program));
  const auto inputs = ScriptInputsOf("Counting", 3);
  RunScript(rebuilt, inputs);
  EXPECT_EQ(rebuilt.attr("steps").toTensor().item<float>(), 0);
  rebuilt.train();
  const Tensors logits = RunScript(rebuilt, inputs);
  EXPECT_EQ(rebuilt.attr("steps").toTensor().item<float>(), 1);
  EXPECT_TRUE(torch::allclose(rebuilt.attr("mean").toTensor(), 0.5 * logits[0].mean(0)));
}

TEST(Importer, DropoutAndBatchNormFollowTheMode) {
  torch::jit::Module cnn = Reload(*Rebuild(ImportedScript("cnn").program));
  const auto inputs = ScriptInputsOf("cnn", 4);
  ExpectEqual(RunScript(cnn, inputs), RunScript(cnn, inputs));
  cnn.train();
  EXPECT_FALSE(torch::equal(RunScript(cnn, inputs)[0], RunScript(cnn, inputs)[0]));
  torch::jit::Module resnet = Reload(*Rebuild(ImportedScript("resnet").program));
  const auto mean = [&] {
    for (const auto& buffer : resnet.named_buffers()) {
      if (buffer.name == "blocks.0.bn1.running_mean") {
        return buffer.value.abs().max().item<float>();
      }
    }
    return -1.0f;
  };
  RunScript(resnet, inputs);
  EXPECT_EQ(mean(), 0);
  resnet.train();
  RunScript(resnet, inputs);
  EXPECT_GT(mean(), 0);
}

TEST(Importer, AModeThatTracingFixedIsNoted) {
  EXPECT_THAT(ImportedScript("resnet_traced").notes,
              testing::ElementsAre(HasSubstr("aten::batch_norm always trains")));
  EXPECT_THAT(ImportedScript("cnn_traced_eval").notes,
              testing::ElementsAre(HasSubstr("aten::dropout always evaluates")));
  EXPECT_TRUE(ImportedScript("resnet").notes.empty());
}

TEST(Importer, IdsAreTheSameEveryTime) {
  const Imported a = ImportedScript("transformer"), b = ImportedScript("transformer");
  ASSERT_EQ(a.graph.nodes.size(), b.graph.nodes.size());
  for (size_t i = 0; i < a.graph.nodes.size(); ++i) {
    EXPECT_EQ(a.graph.nodes[i].op, b.graph.nodes[i].op);
    EXPECT_EQ(a.graph.nodes[i].outputs, b.graph.nodes[i].outputs);
  }
}

TEST(Importer, AMaskedEvaluationHasOtherStateAndLeavesTheNetworkAsItIs) {
  const Imported imported = ImportedScript("cnn");
  const auto inputs = ScriptInputsOf("cnn", 2);
  const auto evaluator = *Evaluator::Create(imported.program);
  const Tensors before = *evaluator.Run(inputs);
  const Tensors masked = *evaluator.Run(
      inputs, {{"fc2.weight", torch::zeros({10, 64})}, {"fc2.bias", torch::ones({10})}});
  EXPECT_TRUE(torch::equal(masked[0], torch::ones({2, 10})));
  ExpectEqual(*evaluator.Run(inputs), before);
}

TEST(Importer, DoublesAreCloseToFloats) {
  const Imported imported = ImportedScript("transformer");
  const auto inputs = ScriptInputsOf("transformer", 2);
  const auto evaluator = *Evaluator::Create(imported.program, Evaluator::Precision::kDouble);
  const Tensors doubles = *evaluator.Run(inputs);
  EXPECT_EQ(doubles[0].scalar_type(), at::kDouble);
  EXPECT_TRUE(torch::allclose(doubles[0].to(at::kFloat), Evaluate(imported.program, inputs)[0],
                              1e-4, 1e-4));
}

TEST(Importer, OtherStateMustBeThereAndHaveItsShape) {
  const Imported imported = ImportedScript("cnn");
  const auto evaluator = *Evaluator::Create(imported.program);
  const auto inputs = ScriptInputsOf("cnn", 2);
  EXPECT_THAT(evaluator.Run(inputs, {{"fc2.bias", torch::ones({3})}}).status().ToString(),
              HasSubstr("another \"fc2.bias\" of 3: it is 10"));
  EXPECT_FALSE(evaluator.Run(inputs, {{"fc9.bias", torch::ones({3})}}).ok());
  EXPECT_THAT(evaluator.Run({}).status().ToString(), HasSubstr("with 1 inputs: given 0"));
}

TEST(Importer, ACutTakesRowsAndColumnsAway) {
  const Imported imported = ImportedScript("cnn");
  Cut cut;
  cut.kept = {
      {"fc1.weight", 0, {0, 5, 63}}, {"fc1.bias", 0, {0, 5, 63}}, {"fc2.weight", 1, {0, 5, 63}}};
  const auto smaller = Rebuild(imported.program, cut);
  ASSERT_TRUE(smaller.ok()) << smaller.status();
  at::Tensor weight = at::zeros({64, 32 * 7 * 7}), bias = at::zeros({64});
  const at::Tensor kept = at::tensor(std::vector<int64_t>{0, 5, 63});
  for (const State& state : imported.program.states) {
    const at::Tensor tensor = state.tensor.detach();
    if (state.name == "fc1.weight") weight.index_copy_(0, kept, tensor.index_select(0, kept));
    if (state.name == "fc1.bias") bias.index_copy_(0, kept, tensor.index_select(0, kept));
  }
  const auto inputs = ScriptInputsOf("cnn", 3);
  const auto masked = *Evaluator::Create(imported.program)
                           ->Run(inputs, {{"fc1.weight", weight}, {"fc1.bias", bias}});
  EXPECT_TRUE(torch::allclose(RunScript(*smaller, inputs)[0], masked[0], 1e-5, 1e-6));
}

TEST(Importer, ACutOfWhatIsNotThereIsRefused) {
  const Program program = ImportedScript("cnn").program;
  EXPECT_THAT(ApplyCut(program, {{{"fc7.weight", 0, {0}}}, {}, {}, {}}).status().ToString(),
              HasSubstr("\"fc7.weight\": there is no such parameter"));
  EXPECT_THAT(ApplyCut(program, {{{"fc2.bias", 0, {0, 10}}}, {}, {}, {}}).status().ToString(),
              HasSubstr("2 indices to keep of an extent of 10"));
  EXPECT_THAT(ApplyCut(program, {{}, {{0, 0, -1, 3}}, {}, {}}).status().ToString(),
              HasSubstr("it is no integer"));
  EXPECT_THAT(ApplyCut(program, {{}, {{999, 0, -1, 3}}, {}, {}}).status().ToString(),
              HasSubstr("there is no such node"));
}

TEST(Importer, ErrorsNameTheFileAndTheReason) {
  const auto error = [](const std::string& name, const Tensors& example) {
    return ImportScriptFile(ScriptPath(name), example).status();
  };
  const Tensors images = ScriptInputsOf("cnn", 2);
  EXPECT_EQ(error("absent", images).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(error("StateDict", images).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(error("Truncated", images).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(error("cnn", {}).ToString(), HasSubstr("needs example inputs"));
  EXPECT_THAT(error("cnn", {at::zeros({2, 3, 28, 28})}).ToString(),
              HasSubstr("expected input[2, 3, 28, 28] to have 1 channels"));
  EXPECT_EQ(error("Half", images).code(), absl::StatusCode::kInvalidArgument);
}

absl::Status ErrorOfScript(const std::string& code) {
  torch::jit::Module module("__torch__.Module");
  module.define(code);
  return ImportScript(module, {torch::ones({2, 4})}).status();
}

TEST(Importer, ScriptsThatDecideByValuesAreRefusedWithTheirLine) {
  EXPECT_THAT(ErrorOfScript("def forward(self, x):\n"
                            "  if bool(x.sum() > 3):\n"
                            "    x = x + 1\n"
                            "  return x\n")
                  .ToString(),
              HasSubstr("aten::Bool"));
  EXPECT_TRUE(ErrorOfScript("def forward(self, x):\n"
                            "  if x.size(1) > 3:\n"
                            "    x = x + 1\n"
                            "  return x\n")
                  .ok());
}

class DependsOnValues : public Network {
 public:
  torch::Tensor forward(const Tensors& inputs) override {
    return inputs[0] * inputs[0].sum().item<double>();
  }
};

class ChangesAView : public Network {
 public:
  torch::Tensor forward(const Tensors& inputs) override {
    torch::Tensor sum = inputs[0] + 1;
    sum.select(1, 0).relu_();
    return sum * 2;
  }
};

class ChangesAPart : public Network {
 public:
  torch::Tensor forward(const Tensors& inputs) override {
    auto parts = (inputs[0] + 1).chunk(2, 1);
    parts[0].relu_();
    return parts[0] * parts[1];
  }
};

TEST(Importer, WhatDependsOnValuesIsRefused) {
  DependsOnValues network;
  torch::manual_seed(1);
  EXPECT_THAT(ImportNetwork(network, {torch::randn({2, 4})}).status().ToString(),
              HasSubstr("depends on the values of its inputs"));
}

TEST(Importer, AChangeInPlaceThatIsReadByAnotherNameIsRefused) {
  ChangesAView view;
  EXPECT_THAT(ImportNetwork(view, {torch::randn({2, 4})}).status().ToString(),
              HasSubstr("aten::relu_, operator 2, changes a tensor of which another view is read "
                        "later by aten::mul"));
  ChangesAPart part;
  EXPECT_TRUE(ImportNetwork(part, {torch::randn({2, 4})}).ok());
}

}  // namespace
}  // namespace sluice::graph
