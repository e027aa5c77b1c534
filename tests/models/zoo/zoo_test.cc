#include "models/zoo/zoo.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

int64_t Count(const Network& network) {
  int64_t elements = 0;
  for (const at::Tensor& parameter : network.parameters()) elements += parameter.numel();
  return elements;
}

auto Build(const std::string& name, uint64_t seed) {
  proto::Model model;
  model.set_name(name);
  return BuildNetwork(model, DataShape{{1, 28, 28}, 10, false}, seed);
}

class ZooTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Names, ZooTest, testing::Values("cnn", "resnet18", "vgg11"));

TEST_P(ZooTest, GivesTenLogitsPerImage) {
  const auto network = Build(GetParam(), 1);
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_TRUE((*network)->is_training());
  const at::Tensor logits = (*network)->forward({torch::ones({3, 1, 28, 28})});
  EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{3, 10}));
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
}

TEST_P(ZooTest, WeightsAreAFunctionOfTheSeed) {
  const auto network = *Build(GetParam(), 5);
  torch::rand({17});  // moves the default generator on
  const auto same = *Build(GetParam(), 5);
  const auto other = *Build(GetParam(), 6);
  const auto weights = network->named_parameters();
  for (const auto& item : same->named_parameters()) {
    EXPECT_TRUE(torch::equal(item.value(), weights[item.key()])) << item.key();
  }
  EXPECT_FALSE(torch::equal(network->parameters()[0], other->parameters()[0]));
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
}

TEST(Zoo, Vgg11Has28148362ParametersIn38Tensors) {
  const auto network = *Build("vgg11", 1);
  EXPECT_EQ(Count(*network), 28148362);
  EXPECT_EQ(network->parameters().size(), 38u);
  EXPECT_EQ(network->buffers().size(), 24u);  // mean, variance and count of 8 batch norms
}

TEST(Zoo, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const auto network = Build("vgg", 1);
  EXPECT_EQ(network.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(network.status().message()),
              testing::HasSubstr("cnn, resnet18 or vgg11"));
}

}  // namespace
}  // namespace sluice
