#include "training/weight_average.h"

#include <torch/types.h>

#include "gtest/gtest.h"

namespace sluice {
namespace {

std::vector<NamedParameter> Parameters(float value) {
  const at::Tensor tensor = at::full({3}, value);
  tensor.set_requires_grad(true);
  return {{"w", tensor}};
}

float ValueOf(const SafeTensor& tensor) {
  return *reinterpret_cast<const float*>(tensor.bytes.data());
}

void Set(const std::vector<NamedParameter>& parameters, float value) {
  const torch::NoGradGuard no_gradients;
  parameters[0].tensor.fill_(value);
}

TEST(WeightAverage, FollowsTheParametersWithItsDecay) {
  const auto parameters = Parameters(1);
  WeightAverage average(parameters, 0.9);
  EXPECT_EQ(ValueOf(average.Tensors("")[0]), 1);
  Set(parameters, 2);
  average.Update(Step(1000000));
  EXPECT_NEAR(ValueOf(average.Tensors("")[0]), 0.9 * 1 + 0.1 * 2, 1e-6);
  Set(parameters, 3);
  average.Update(Step(1000001));
  EXPECT_NEAR(ValueOf(average.Tensors("")[0]), 0.9 * 1.1 + 0.1 * 3, 1e-6);
}

TEST(WeightAverage, ForgetsTheRandomStartQuickly) {
  const auto parameters = Parameters(0);
  WeightAverage average(parameters, 0.999);
  Set(parameters, 1);
  average.Update(Step(0));
  EXPECT_NEAR(ValueOf(average.Tensors("")[0]), 0.9, 1e-6);  // d = 1 / 10
  average.Update(Step(10));
  EXPECT_NEAR(ValueOf(average.Tensors("")[0]), 0.55 * 0.9 + 0.45, 1e-6);  // d = 11 / 20
}

TEST(WeightAverage, SwappingExchangesTheTwo) {
  const auto parameters = Parameters(1);
  WeightAverage average(parameters, 0.5);
  Set(parameters, 5);
  average.Swap();
  EXPECT_EQ(parameters[0].tensor[0].item<float>(), 1);
  EXPECT_EQ(ValueOf(average.Tensors("")[0]), 5);
  average.Swap();
  EXPECT_EQ(parameters[0].tensor[0].item<float>(), 5);
}

TEST(WeightAverage, TensorsHaveThePrefix) {
  const auto parameters = Parameters(1);
  const WeightAverage average(parameters, 0.5);
  EXPECT_EQ(average.Tensors("average.")[0].name, "average.w");
}

}  // namespace
}  // namespace sluice
