#include "training/optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using Tensors = std::vector<at::Tensor>;

proto::Optimizer Settings(const std::string& kind) {
  proto::Optimizer settings;
  settings.set_kind(kind);
  settings.set_learning_rate(0.01);
  settings.set_momentum(0.9);
  settings.set_weight_decay(0.1);
  settings.set_beta1(0.9);
  settings.set_beta2(0.999);
  settings.set_epsilon(1e-8);
  settings.set_nesterov("off");
  settings.set_decay_exempt("none");
  return settings;
}

// A matrix and a vector, the same in every call.
Tensors Parameters() {
  torch::manual_seed(1);
  Tensors parameters = {at::randn({7, 5}), at::randn({7})};
  for (at::Tensor& parameter : parameters) parameter.requires_grad_();
  return parameters;
}

// `steps` steps on gradients that are the same in every call.
void TakeSteps(torch::optim::Optimizer& optimizer, const Tensors& parameters, int steps) {
  torch::manual_seed(2);
  for (int s = 0; s < steps; ++s) {
    for (const at::Tensor& parameter : parameters) {
      parameter.mutable_grad() = at::randn_like(parameter);
    }
    StepWithLearningRate(optimizer, 0.01 * (s + 1));
  }
}

Tensors After(const proto::Optimizer& settings, int steps) {
  const Tensors parameters = Parameters();
  const auto optimizer = MakeOptimizer(settings, parameters);
  EXPECT_TRUE(optimizer.ok()) << optimizer.status();
  TakeSteps(**optimizer, parameters, steps);
  return parameters;
}

void ExpectClose(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(at::allclose(a[i], b[i], 1e-6, 1e-7)) << i << ":\n" << a[i] << "\n" << b[i];
  }
}

TEST(MakeOptimizer, AdamwIsTorchs) {
  const Tensors expected = Parameters();
  torch::optim::AdamW torchs(expected, torch::optim::AdamWOptions(0.01).weight_decay(0.1));
  TakeSteps(torchs, expected, 5);
  const Tensors ours = After(Settings("adamw"), 5);
  ExpectClose(ours, expected);
  EXPECT_FALSE(at::allclose(ours[0], After(Settings("adam"), 5)[0], 1e-3)) << "decay is decoupled";
}

TEST(MakeOptimizer, NesterovIsTorchs) {
  const Tensors expected = Parameters();
  torch::optim::SGD torchs(
      expected, torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1).nesterov(true));
  TakeSteps(torchs, expected, 5);
  proto::Optimizer settings = Settings("sgd");
  settings.set_nesterov("on");
  const Tensors ours = After(settings, 5);
  ExpectClose(ours, expected);
  EXPECT_FALSE(at::allclose(ours[0], After(Settings("sgd"), 5)[0], 1e-3));
}

TEST(MakeOptimizer, NesterovWithoutMomentumIsRefused) {
  proto::Optimizer settings = Settings("sgd");
  settings.set_nesterov("on");
  settings.set_momentum(0);
  EXPECT_EQ(MakeOptimizer(settings, Parameters()).status().code(), absl::StatusCode::kInternal);
}

TEST(MakeOptimizer, AnUnknownKindIsRefusedWithTheKnownOnes) {
  const absl::Status status = MakeOptimizer(Settings("adagrad"), Parameters()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("sgd, adam, adamw or lamb"));
}

class DecayExemptTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, DecayExemptTest, testing::Values("sgd", "adam", "adamw", "lamb"));

TEST_P(DecayExemptTest, VectorsAreLeftAloneAndMatricesAreNot) {
  proto::Optimizer settings = Settings(GetParam());
  const Tensors before = Parameters();
  const auto step_without_gradient = [&] {
    const Tensors parameters = Parameters();
    const auto optimizer = MakeOptimizer(settings, parameters);
    for (const at::Tensor& parameter : parameters) {
      parameter.mutable_grad() = at::zeros_like(parameter);
    }
    StepWithLearningRate(**optimizer, 0.5);
    return parameters;
  };
  Tensors after = step_without_gradient();
  EXPECT_LT(after[0].norm().item<double>(), before[0].norm().item<double>());
  EXPECT_LT(after[1].norm().item<double>(), before[1].norm().item<double>());
  settings.set_decay_exempt("one_dimensional");
  after = step_without_gradient();
  EXPECT_LT(after[0].norm().item<double>(), before[0].norm().item<double>());
  EXPECT_TRUE(at::equal(after[1], before[1]));
}

TEST_P(DecayExemptTest, TheLearningRateReachesBothGroups) {
  proto::Optimizer settings = Settings(GetParam());
  settings.set_decay_exempt("one_dimensional");
  const Tensors before = Parameters(), parameters = Parameters();
  const auto optimizer = MakeOptimizer(settings, parameters);
  for (const at::Tensor& parameter : parameters) {
    parameter.mutable_grad() = at::ones_like(parameter);
  }
  StepWithLearningRate(**optimizer, 0);
  for (int i : {0, 1}) EXPECT_TRUE(at::equal(parameters[i], before[i])) << i;
}

// Steps on literal values, computed from the paper's formulas in double by a Python script of its own.
TEST(Lamb, HasThePapersValues) {
  proto::Optimizer settings = Settings("lamb");
  settings.set_epsilon(1e-6);
  const Tensors parameters = {torch::tensor({3.0f, 4.0f}), torch::tensor({0.0f, 0.0f})};
  for (const at::Tensor& parameter : parameters) parameter.set_requires_grad(true);
  const auto optimizer = MakeOptimizer(settings, parameters);
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  const std::vector<std::vector<float>> gradients = {
      {0.1f, -0.2f, 0.3f, 0.4f}, {-0.3f, 0.1f, 0.2f, -0.1f}, {0.5f, 0.5f, 0.0f, 0.0f}};
  const std::vector<std::vector<double>> expected = {
      {0.7301012832096117, 5.047644889985794, -0.49999833333888893, -0.49999875000312505},
      {2.949271146787866, 3.7913699115785677, -0.8217120487089575, -0.6466260195656968},
      {1.548355264334588, 1.840573608471853, -1.2990963983397155, -0.8597882999316906}};
  for (size_t s = 0; s < gradients.size(); ++s) {
    for (size_t p = 0; p < 2; ++p) {
      parameters[p].mutable_grad() = torch::tensor({gradients[s][2 * p], gradients[s][2 * p + 1]});
    }
    StepWithLearningRate(**optimizer, 0.5);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(parameters[i / 2][static_cast<int64_t>(i % 2)].item<double>(), expected[s][i],
                  2e-5)
          << "step " << s << ", value " << i;
    }
  }
}

TEST(Lamb, AStepIsAsLongAsItsTensorTimesTheRate) {
  proto::Optimizer settings = Settings("lamb");
  for (const double scale : {1e-3, 1.0, 1e3}) {
    const Tensors parameters = Parameters();
    {
      const torch::NoGradGuard no_gradients;
      for (const at::Tensor& parameter : parameters) parameter.mul_(scale);
    }
    const Tensors before = {parameters[0].detach().clone(), parameters[1].detach().clone()};
    const auto optimizer = MakeOptimizer(settings, parameters);
    TakeSteps(**optimizer, parameters, 1);
    for (int i : {0, 1}) {
      const double length = (parameters[i] - before[i]).norm().item<double>();
      EXPECT_NEAR(length / before[i].norm().item<double>(), 0.01, 1e-5) << scale << ", " << i;
    }
  }
}

}  // namespace
}  // namespace sluice
