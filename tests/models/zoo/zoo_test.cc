#include "models/zoo/zoo.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;

const DataShape kImages{{1, 28, 28}, 10, false};
const DataShape kTokens{{16}, 64, true};
const DataShape kLargeImages{{3, 224, 224}, 1000, false};

int64_t Count(const Network& network) {
  int64_t elements = 0;
  for (const at::Tensor& parameter : network.parameters()) elements += parameter.numel();
  return elements;
}

proto::Model Named(const std::string& name) {
  proto::Model model;
  model.set_name(name);
  return model;
}

auto Build(const std::string& name, uint64_t seed, const DataShape& shape = kImages) {
  return BuildNetwork(Named(name), shape, seed);
}

int64_t CountOf(const proto::Model& model, const DataShape& shape) {
  const auto network = BuildNetwork(model, shape, 1);
  EXPECT_TRUE(network.ok()) << network.status();
  return network.ok() ? Count(**network) : 0;
}

std::string ErrorOf(const proto::Model& model, const DataShape& shape) {
  const auto network = BuildNetwork(model, shape, 1);
  EXPECT_EQ(network.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(network.status().message());
}

bool IsOfTokens(const std::string& name) { return name == "gpt" || name == "bert"; }
DataShape SmallShape(const std::string& name) { return IsOfTokens(name) ? kTokens : kImages; }

std::vector<at::Tensor> Random(const DataShape& shape, int64_t samples) {
  std::vector<int64_t> sizes = {samples};
  sizes.insert(sizes.end(), shape.input.begin(), shape.input.end());
  return {shape.input.size() == 1 ? at::randint(shape.classes, sizes, at::kLong)
                                  : at::randn(sizes)};
}

class ZooTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Names, ZooTest,
                         testing::Values("mlp", "cnn", "vgg11", "vgg16", "resnet18", "resnet50",
                                         "densenet121", "mobilenetv2", "vit", "gpt", "bert"));

TEST_P(ZooTest, GivesLogitsForEverySample) {
  const DataShape shape = SmallShape(GetParam());
  const auto network = Build(GetParam(), 1, shape);
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_TRUE((*network)->is_training());
  const at::Tensor logits = (*network)->forward(Random(shape, 3));
  EXPECT_EQ(logits.sizes(), shape.target_per_position ? (std::vector<int64_t>{3, 16, 64})
                                                      : (std::vector<int64_t>{3, 10}));
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
}

TEST_P(ZooTest, WeightsAreAFunctionOfTheSeed) {
  const DataShape shape = SmallShape(GetParam());
  const auto network = *Build(GetParam(), 5, shape);
  torch::rand({17});  // moves the default generator on
  const auto same = *Build(GetParam(), 5, shape);
  const auto other = *Build(GetParam(), 6, shape);
  const auto weights = network->named_parameters();
  bool differs = false;
  for (const auto& item : same->named_parameters()) {
    EXPECT_TRUE(torch::equal(item.value(), weights[item.key()])) << item.key();
    differs = differs || !torch::equal(item.value(), other->named_parameters()[item.key()]);
  }
  EXPECT_TRUE(differs);
}

// Buckets fill in the reverse order of registration: it pays when backward finishes gradients in about this order.
TEST_P(ZooTest, BackwardFinishesAboutInReverseOrderOfRegistration) {
  const DataShape shape = SmallShape(GetParam());
  const auto network = *Build(GetParam(), 1, shape);
  const std::vector<at::Tensor> parameters = network->parameters();
  std::vector<size_t> finished;
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;
  for (size_t i = 0; i < parameters.size(); ++i) {
    accumulators.push_back(torch::autograd::impl::grad_accumulator(parameters[i]));
    accumulators.back()->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [&finished, i](const torch::autograd::variable_list& outputs,
                       const torch::autograd::variable_list&) {
          finished.push_back(i);
          return outputs;
        }));
  }
  network->forward(Random(shape, 2)).square().sum().backward();
  ASSERT_EQ(finished.size(), parameters.size()) << "every parameter gets a gradient";
  int64_t wrong = 0, pairs = 0;
  for (size_t a = 0; a < finished.size(); ++a) {
    for (size_t b = a + 1; b < finished.size(); ++b, ++pairs) wrong += finished[a] < finished[b];
  }
  EXPECT_LT(wrong, 0.1 * pairs);
}

TEST_P(ZooTest, TakesImagesOfEverySizeFrom8On) {
  if (IsOfTokens(GetParam())) GTEST_SKIP() << "takes tokens";
  for (const auto& input : {std::vector<int64_t>{1, 8, 8}, {3, 32, 32}, {2, 28, 40}, {3, 64, 64}}) {
    const DataShape shape{input, 7, false};
    const auto network = Build(GetParam(), 1, shape);
    ASSERT_TRUE(network.ok()) << network.status();
    EXPECT_EQ((*network)->forward(Random(shape, 2)).sizes(), (std::vector<int64_t>{2, 7}));
  }
}

TEST_P(ZooTest, DropoutIsForTrainingAlone) {
  proto::Model model = Named(GetParam());
  model.set_dropout(0.5);
  const DataShape shape = SmallShape(GetParam());
  const auto network = BuildNetwork(model, shape, 1);
  if (!network.ok()) {
    EXPECT_THAT(std::string(network.status().message()), HasSubstr("model.dropout is set, but"));
    return;
  }
  const auto inputs = Random(shape, 4);
  (*network)->eval();
  EXPECT_TRUE(torch::equal((*network)->forward(inputs), (*network)->forward(inputs)));
  (*network)->train();
  EXPECT_FALSE(torch::equal((*network)->forward(inputs), (*network)->forward(inputs)));
}

TEST(Zoo, CnnHas1204426ParametersIn12Tensors) {
  const auto network = *Build("cnn", 1);
  EXPECT_EQ(Count(*network), 1204426);
  EXPECT_EQ(network->parameters().size(), 12u);
  EXPECT_TRUE(network->buffers().empty());
}

TEST(Zoo, Resnet18Has11172810ParametersIn62Tensors) {
  const auto network = *Build("resnet18", 1);
  EXPECT_EQ(Count(*network), 11172810);
  EXPECT_EQ(network->parameters().size(), 62u);
  EXPECT_EQ(network->buffers().size(), 60u);  // mean, variance and count of 20 batch norms
  EXPECT_TRUE(network->named_parameters().contains("layer2_0.down.0.weight"));
}

TEST(Zoo, Vgg11Has28148362ParametersIn38Tensors) {
  const auto network = *Build("vgg11", 1);
  EXPECT_EQ(Count(*network), 28148362);
  EXPECT_EQ(network->parameters().size(), 38u);
  EXPECT_EQ(network->buffers().size(), 24u);  // mean, variance and count of 8 batch norms
}

TEST(Zoo, SmallVariantsHaveTheSizesThatTheirHeadersName) {
  EXPECT_EQ(CountOf(Named("mlp"), kImages), 669706);
  EXPECT_EQ(CountOf(Named("vgg16"), kImages), 33645514);
  EXPECT_EQ(CountOf(Named("resnet50"), kImages), 23519690);
  EXPECT_EQ(CountOf(Named("densenet121"), kImages), 6955274);
  EXPECT_EQ(CountOf(Named("mobilenetv2"), kImages), 2236106);
  EXPECT_EQ(CountOf(Named("vit"), kImages), 2684554);
  EXPECT_EQ(CountOf(Named("gpt"), {{128}, 256, true}), 8103744);
  EXPECT_EQ(CountOf(Named("bert"), {{128}, 256, true}), 3324416);
}

TEST(Zoo, ImageNetVariantsHaveThePublishedSizes) {
  EXPECT_EQ(CountOf(Named("vgg11"), kLargeImages), 132868840);
  EXPECT_EQ(CountOf(Named("vgg16"), kLargeImages), 138365992);
  EXPECT_EQ(CountOf(Named("resnet18"), kLargeImages), 11689512);
  EXPECT_EQ(CountOf(Named("resnet50"), kLargeImages), 25557032);
  EXPECT_EQ(CountOf(Named("densenet121"), kLargeImages), 7978856);
  EXPECT_EQ(CountOf(Named("mobilenetv2"), kLargeImages), 3504872);
  EXPECT_EQ(CountOf(Named("vit"), kLargeImages), 86567656);
}

TEST(Zoo, LanguageModelsOfBaseSizeHaveThePublishedSizes) {
  proto::Model model = Named("gpt");
  model.set_width(768);
  model.set_depth(12);
  model.set_heads(12);
  EXPECT_EQ(CountOf(model, {{1024}, 50257, true}), 124439808);
  model.set_name("bert");
  // The published masked language model has embeddings of two segments besides.
  EXPECT_EQ(CountOf(model, {{512}, 30522, true}), 109514298 - 2 * 768);
  int64_t in_layers = 0;
  const auto network = *BuildNetwork(model, {{512}, 30522, true}, 1);
  for (const auto& item : network->named_parameters()) {
    if (item.key().rfind("layer", 0) == 0) in_layers += item.value().numel();
  }
  EXPECT_EQ(in_layers, 85054464);
}

TEST(Zoo, MlpTakesSeveralInputs) {
  const DataShape shape{{1, 28, 28}, 10, false, {{16}}};
  const auto network = *Build("mlp", 1, shape);
  EXPECT_EQ(network->forward({at::ones({2, 1, 28, 28}), at::ones({2, 16})}).sizes(),
            (std::vector<int64_t>{2, 10}));
  EXPECT_THAT(ErrorOf(Named("cnn"), shape), HasSubstr("1 x 28 x 28 and more inputs in 10 classes"));
}

// What changes in the logits of position `at` when token `changed` does.
double Influence(Network& network, int64_t changed, int64_t at) {
  network.eval();
  const at::Tensor tokens = at::zeros({1, 16}, at::kLong);
  const at::Tensor before = network.forward({tokens})[0][at];
  at::Tensor other = tokens.clone();
  other[0][changed] = 5;
  return (network.forward({other})[0][at] - before).abs().max().item<double>();
}

TEST(Zoo, GptLooksBackAlone) {
  const auto network = *Build("gpt", 1, kTokens);
  EXPECT_GT(Influence(*network, 3, 7), 0);
  EXPECT_EQ(Influence(*network, 7, 3), 0);
}

TEST(Zoo, BertLooksBothWays) {
  const auto network = *Build("bert", 1, kTokens);
  EXPECT_GT(Influence(*network, 3, 7), 0);
  EXPECT_GT(Influence(*network, 7, 3), 0);
}

TEST(Zoo, BertClassifiesWhereThereIsOneTarget) {
  const auto network = *Build("bert", 1, {{16}, 64, false});
  EXPECT_EQ(network->forward({at::zeros({2, 16}, at::kLong)}).sizes(),
            (std::vector<int64_t>{2, 64}));
}

TEST(Zoo, SizesAreTheModelsOwnUntilSet) {
  proto::Model model = Named("mlp");
  model.set_width(3);
  model.set_depth(1);
  EXPECT_EQ(CountOf(model, kImages), 784 * 3 + 3 + 3 * 10 + 10);
}

TEST(Zoo, AnUnknownNameIsRefusedWithTheKnownOnes) {
  EXPECT_THAT(ErrorOf(Named("vgg"), kImages), HasSubstr("expected one of mlp, cnn, vgg11, "));
}

TEST(Zoo, WhatANetworkDoesNotHeedIsRefused) {
  proto::Model model = Named("resnet18");
  model.set_width(64);
  EXPECT_EQ(ErrorOf(model, kImages), "model.width is set, but resnet18 has none: leave it out");
}

TEST(Zoo, HeadsMustDivideTheWidth) {
  proto::Model model = Named("gpt");
  model.set_width(100);
  EXPECT_EQ(ErrorOf(model, kTokens), "model.width is 100: it must be a multiple of model.heads, 6");
}

TEST(Zoo, PatchesMustDivideTheImage) {
  proto::Model model = Named("vit");
  model.set_patch(5);
  EXPECT_EQ(ErrorOf(model, kImages),
            "model.patch is 5: it does not divide images of 28 x 28; set one that does");
}

TEST(Zoo, SamplesThatItCannotTakeAreRefused) {
  EXPECT_EQ(ErrorOf(Named("cnn"), kTokens),
            "model.name is \"cnn\": it takes images from 8 x 8 on, data.dataset has samples of 16, "
            "with a target per position, in 64 classes");
  EXPECT_THAT(ErrorOf(Named("vit"), {{3, 4, 4}, 10, false}), HasSubstr("samples of 3 x 4 x 4 in"));
  EXPECT_THAT(ErrorOf(Named("gpt"), kImages), HasSubstr("it takes tokens"));
  EXPECT_THAT(ErrorOf(Named("gpt"), {{16}, 64, false}), HasSubstr("one target per sample"));
  EXPECT_THAT(ErrorOf(Named("mlp"), kTokens), HasSubstr("it takes samples with one target"));
}

}  // namespace
}  // namespace sluice
