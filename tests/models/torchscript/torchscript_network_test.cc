#include "models/torchscript/torchscript_network.h"

#include <torch/optim/sgd.h>
#include <torch/serialize.h>
#include <torch/types.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string PathOf(const std::string& name) {
  return absl::StrCat("tests/models/torchscript/", name, ".pt");
}

std::vector<at::Tensor> Images(int64_t n) { return {at::randn({n, 1, 28, 28})}; }
std::vector<at::Tensor> Pairs(int64_t n) { return {at::randn({n, 1, 28, 28}), at::randn({n, 16})}; }

auto Load(const std::string& name) { return LoadTorchScript(PathOf(name), Images(3), {3, 10}); }

std::vector<std::string> ParameterNames(const Network& network) {
  return network.named_parameters().keys();
}

// `steps` of SGD towards fixed targets. \return the last loss
double Train(Network& network, const std::vector<at::Tensor>& inputs, int steps) {
  torch::optim::SGD optimizer(network.parameters(), torch::optim::SGDOptions(0.05));
  const at::Tensor targets = at::arange(inputs[0].size(0), at::kLong) % 10;
  double last = 0;
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    const at::Tensor loss = at::cross_entropy_loss(network.forward(inputs), targets);
    loss.backward();
    optimizer.step();
    last = loss.item<double>();
  }
  return last;
}

std::string Export(const Network& network, const std::string& name) {
  const std::string path = absl::StrCat(testing::TempDir(), "/", name, ".pt");
  std::ofstream out(path, std::ios::binary);
  network.WriteArchive(out);
  return path;
}

at::Tensor Evaluate(Network& network, const std::vector<at::Tensor>& inputs) {
  const torch::NoGradGuard no_gradients;
  network.eval();
  const at::Tensor logits = network.forward(inputs);
  network.train();
  return logits;
}

TEST(TorchScriptNetwork, ParametersHaveTheModulesNamesInTheirOrder) {
  EXPECT_THAT(ParameterNames(**Load("cnn")),
              ElementsAre("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight",
                          "fc1.bias", "fc2.weight", "fc2.bias"));
  const auto transformer = *Load("transformer");
  const auto names = ParameterNames(*transformer);
  EXPECT_EQ(names.size(), 3u + 2 * 12 + 4);
  EXPECT_EQ(names.front(), "positions");
  EXPECT_TRUE(transformer->named_parameters().contains("layers.1.qkv.weight"));
}

class GoodModule : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Names, GoodModule,
                         testing::Values("cnn", "resnet", "transformer", "two_inputs",
                                         "resnet_traced", "cnn_traced_eval", "TwoArguments",
                                         "ListOfInputs", "Tied", "Transposed", "Counting"));

std::vector<at::Tensor> InputsOf(const std::string& name, int64_t n) {
  const bool two = name == "two_inputs" || name == "TwoArguments" || name == "ListOfInputs";
  return two ? Pairs(n) : Images(n);
}

TEST_P(GoodModule, Trains) {
  torch::manual_seed(1);
  const auto network = LoadTorchScript(PathOf(GetParam()), InputsOf(GetParam(), 3), {3, 10});
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_TRUE((*network)->is_training());
  const auto inputs = InputsOf(GetParam(), 8);
  const double first = Train(**network, inputs, 1);
  EXPECT_LT(Train(**network, inputs, 20), 0.9 * first);
}

TEST_P(GoodModule, IsTheSameWhenExportedAndLoadedAgain) {
  const auto inputs = InputsOf(GetParam(), 8);
  const auto network = *LoadTorchScript(PathOf(GetParam()), InputsOf(GetParam(), 3), {3, 10});
  Train(*network, inputs, 5);
  const std::string path = Export(*network, GetParam());
  EXPECT_TRUE(network->is_training()) << "the export is not to change it";
  const auto again = LoadTorchScript(path, InputsOf(GetParam(), 3), {3, 10});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(torch::equal(Evaluate(**again, inputs), Evaluate(*network, inputs)));
  EXPECT_EQ(ParameterNames(**again), ParameterNames(*network));
}

TEST_P(GoodModule, GivesPythonTheSameOutputs) {
  const auto inputs = InputsOf(GetParam(), 8);
  const auto network = *LoadTorchScript(PathOf(GetParam()), InputsOf(GetParam(), 3), {3, 10});
  Train(*network, inputs, 5);
  const std::string module = Export(*network, GetParam());
  std::vector<c10::IValue> record(inputs.begin(), inputs.end());
  record.push_back(Evaluate(*network, inputs));
  const std::vector<char> bytes = torch::pickle_save(c10::ivalue::Tuple::create(record));
  const std::string path = module + ".record";
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const std::string name = GetParam();
  const char* const how = name == "ListOfInputs" ? " list" : name == "two_inputs" ? " tuple" : "";
  EXPECT_EQ(
      std::system(absl::StrCat("/usr/bin/python3 tests/models/torchscript/compare_outputs.py ",
                               module, " ", path, how)
                      .c_str()),
      0);
}

TEST(TorchScriptNetwork, RunningStatisticsFollowTrainingAlone) {
  const auto network = *Load("resnet");
  EXPECT_EQ(network->buffers().size(), 3u * 9);
  const at::Tensor mean = network->named_buffers()["blocks.0.bn1.running_mean"];
  EXPECT_EQ(mean.abs().max().item<float>(), 0) << "the trial left a trace";
  Evaluate(*network, Images(4));
  EXPECT_EQ(mean.abs().max().item<float>(), 0);
  network->forward(Images(4));
  EXPECT_GT(mean.abs().max().item<float>(), 0);
}

TEST(TorchScriptNetwork, DropoutIsForTrainingAlone) {
  const auto network = *Load("cnn");
  const auto inputs = Images(8);
  EXPECT_TRUE(torch::equal(Evaluate(*network, inputs), Evaluate(*network, inputs)));
  EXPECT_FALSE(torch::equal(network->forward(inputs), network->forward(inputs)));
}

TEST(TorchScriptNetwork, TiedParametersAreOne) {
  const auto network = *Load("Tied");
  EXPECT_THAT(ParameterNames(*network), ElementsAre("first.weight", "fc.weight", "fc.bias"));
  Train(*network, Images(8), 2);
  const auto again = LoadTorchScript(Export(*network, "tied_again"), Images(3), {3, 10});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->parameters().size(), 3u);
}

TEST(TorchScriptNetwork, ParametersAreOneRunOfMemoryEach) {
  const auto network = *Load("Transposed");
  for (const at::Tensor& parameter : network->parameters()) EXPECT_TRUE(parameter.is_contiguous());
}

TEST(TorchScriptNetwork, BuffersAreWhatForwardChanges) {
  const auto network = *Load("Counting");
  EXPECT_THAT(network->named_buffers().keys(), ElementsAre("steps", "mean"));
  EXPECT_THAT(ParameterNames(*network), ElementsAre("fc.weight", "fc.bias"));
  const at::Tensor steps = network->named_buffers()["steps"],
                   mean = network->named_buffers()["mean"];
  EXPECT_EQ(steps.item<float>(), 0);
  network->forward(Images(4));
  network->forward(Images(4));
  EXPECT_EQ(steps.item<float>(), 2);
  const at::Tensor before = mean.clone();
  EXPECT_GT(before.abs().max().item<float>(), 0) << "assigned, and yet the same tensor";
  // What is written there is what forward reads: checkpoints and averages over ranks do so.
  mean.fill_(100);
  network->forward(Images(4));
  EXPECT_GT(mean.min().item<float>(), 40);
}

TEST(TorchScriptNetwork, TheDigestIsTheFiles) {
  EXPECT_EQ((*Load("cnn"))->file_digest(), (*Load("cnn"))->file_digest());
  EXPECT_NE((*Load("cnn"))->file_digest(), (*Load("resnet"))->file_digest());
}

struct Refusal {
  const char* name;
  absl::StatusCode code;
  const char* why;
};

class OddModule : public testing::TestWithParam<Refusal> {};

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

INSTANTIATE_TEST_SUITE_P(
    All, OddModule,
    testing::Values(
        Refusal{"Absent", absl::StatusCode::kNotFound, "no such file"},
        Refusal{"StateDict", kDataLoss, "torch.jit.script(module).save(path), not with torch.save"},
        Refusal{"Truncated", kDataLoss, "cannot read it as TorchScript"},
        Refusal{"Frozen", kInvalid, "it is frozen, its weights are constants"},
        Refusal{"NoParameters", kInvalid, "it has no parameters: nothing to train"},
        Refusal{"Fixed", kInvalid, "none of its parameters has requires_grad"},
        Refusal{"Half", kInvalid, "parameter \"weight\" is Half"},
        Refusal{"Overlapping", kInvalid, "share memory in different shapes"},
        Refusal{"FusedAttention", kInvalid, "which has no gradient: trace the module in training"},
        Refusal{"AssignsNumber", kInvalid, "forward assigns \"count\", which is no tensor"},
        Refusal{"ChangesHalf", kInvalid, "forward changes buffer \"steps\", which is Half"},
        Refusal{"Pair", kInvalid, "returns Tuple: it should return the logits alone"},
        Refusal{"Detached", kInvalid, "it has no gradient: "},
        Refusal{"SevenClasses", kInvalid, "gives 3 x 7 Float, expected logits of 3 x 10 Float"},
        Refusal{"SmallerImages", kInvalid, "forward of 3 x 1 x 28 x 28 Float fails: "},
        Refusal{"two_inputs", kInvalid, "takes a tuple of 2 inputs, the data set has 1"},
        Refusal{"TwoArguments", kInvalid, "forward takes 2 inputs, the data set has 1"}),
    [](const auto& info) { return info.param.name; });

TEST_P(OddModule, IsRefusedWithPathAndReason) {
  const auto network = Load(GetParam().name);
  EXPECT_EQ(network.status().code(), GetParam().code) << network.status();
  EXPECT_THAT(std::string(network.status().message()),
              AllOf(HasSubstr(PathOf(GetParam().name)), HasSubstr(GetParam().why)));
}

}  // namespace
}  // namespace sluice
