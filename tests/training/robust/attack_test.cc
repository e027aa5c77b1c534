#include "training/robust/attack.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <limits>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "tests/training/robust/test_matrices.h"
#include "training/robust/robust_loss.h"

namespace sluice {
namespace {

constexpr double kEps = 8.0 / 255;

// Linear, or with a layer of rectifiers after batch norm.
class TestNetwork : public Network {
 public:
  TestNetwork(int64_t in, int64_t hidden, int64_t classes) {
    if (hidden > 0) {
      first_ = register_module("first", torch::nn::Linear(in, hidden));
      norm_ = register_module("norm", torch::nn::BatchNorm1d(hidden));
    }
    last_ = register_module("last", torch::nn::Linear(hidden > 0 ? hidden : in, classes));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    was_training = is_training();
    torch::Tensor x = inputs[0].flatten(1);
    if (first_) x = norm_(first_(x)).relu_();
    return last_(x);
  }

  bool was_training = false;

 private:
  torch::nn::Linear first_{nullptr}, last_{nullptr};
  torch::nn::BatchNorm1d norm_{nullptr};
};

// Knows how its images are normalised, if it has channels.
class FakeData : public Dataset {
 public:
  explicit FakeData(int64_t channels) {
    format_.channels = channels;
    format_.mean = {0.5f, 0.1f};
    format_.deviation = {0.25f, 2.0f};
  }
  int64_t size() const override { return 0; }
  const DataShape& shape() const override { return shape_; }
  const ImageFormat* image_format() const override {
    return format_.channels > 0 ? &format_ : nullptr;
  }
  absl::StatusOr<Batch> Make(absl::Span<const int64_t>,
                             const std::optional<Augmentation>&) const override {
    return absl::UnimplementedError("it has no samples");
  }

 private:
  DataShape shape_;
  ImageFormat format_;
};

AttackPlan Plan(int steps, AttackStart start = AttackStart::kUniform,
                AttackLoss loss = AttackLoss::kCrossEntropy) {
  return {kEps, kEps / 4, steps, 1, start, loss};
}

RandomKey KeyOf(int64_t sample) { return RandomKey(9).With(static_cast<uint64_t>(sample)); }

at::Tensor LossAt(TestNetwork& network, const at::Tensor& x, const at::Tensor& targets) {
  const torch::NoGradGuard no_gradients;
  network.eval();
  return CrossEntropy(network.forward({x}), targets);
}

TEST(Attack, ReachesTheBestCornerOfALinearNetwork) {
  const auto vectors = TscncVectors()["pgd_linear"];
  TestNetwork network(3, 0, 2);
  {
    const torch::NoGradGuard no_gradients;
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t j = 0; j < 3; ++j) {
        network.parameters()[0][i][j] = vectors["W"][i][j].get<double>();
      }
      network.parameters()[1][i] = vectors["b"][i].get<double>();
    }
  }
  const at::Tensor x = at::tensor(vectors["x"].get<std::vector<float>>()).view({1, 3});
  AttackPlan plan = Plan(4, AttackStart::kNone);
  plan.alpha = 2.0 / 255;
  const at::Tensor targets = at::tensor({int64_t{0}});
  const Attacked got = Attack(network, x, targets, plan, PixelSpace::Plain(), KeyOf);
  for (int64_t j = 0; j < 3; ++j) {
    EXPECT_NEAR(got.inputs[0][j].item<double>(), vectors["x_adv_optimal"][j], 1e-6);
  }
  EXPECT_NEAR(LossAt(network, got.inputs, targets).item<double>(), vectors["ce_adv_optimal"], 1e-6);
}

TEST(Attack, NeverLeavesTheBallNorBlackAndWhite) {
  for (int seed = 0; seed < 1000; ++seed) {
    torch::manual_seed(seed);
    TestNetwork network(6, seed % 3 == 0 ? 0 : 5, 4);
    const at::Tensor x = torch::rand({3, 6});
    const at::Tensor targets = torch::randint(4, {3}, at::kLong);
    const auto start = static_cast<AttackStart>(seed % 3);
    const auto loss = static_cast<AttackLoss>(seed / 3 % 3);
    const Attacked got =
        Attack(network, x, targets, Plan(1 + seed % 4, start, loss), PixelSpace::Plain(), KeyOf);
    ASSERT_LE((got.inputs - x).abs().max().item<double>(), kEps + 1e-6) << "seed " << seed;
    ASSERT_GE(got.inputs.min().item<double>(), 0) << "seed " << seed;
    ASSERT_LE(got.inputs.max().item<double>(), 1) << "seed " << seed;
  }
}

TEST(Attack, NormalisedImagesAreAttackedInPixelValues) {
  const FakeData data(2);
  const ImageFormat& format = *data.image_format();
  const PixelSpace space = *PixelSpace::Of(data);
  torch::manual_seed(1);
  TestNetwork network(18, 8, 4);
  const at::Tensor pixels = torch::rand({5, 2, 3, 3});
  const at::Tensor mean = at::tensor(format.mean).view({1, 2, 1, 1});
  const at::Tensor deviation = at::tensor(format.deviation).view({1, 2, 1, 1});
  const at::Tensor targets = torch::randint(4, {5}, at::kLong);
  const Attacked got =
      Attack(network, (pixels - mean) / deviation, targets, Plan(10), space, KeyOf);
  const at::Tensor moved = got.inputs * deviation + mean;
  for (int64_t channel = 0; channel < 2; ++channel) {
    const double most = (moved - pixels).select(1, channel).abs().max().item<double>();
    EXPECT_NEAR(most, kEps, 1e-6) << "the whole radius is used in every channel";
  }
  EXPECT_GE(moved.min().item<double>(), -1e-6);
  EXPECT_LE(moved.max().item<double>(), 1 + 1e-6);
}

TEST(Attack, WithoutARadiusNothingMoves) {
  TestNetwork network(6, 5, 4);
  const at::Tensor x = torch::rand({3, 6});
  AttackPlan plan = Plan(5);
  plan.eps = 0;
  const at::Tensor targets = at::zeros({3}, at::kLong);
  EXPECT_TRUE(Attack(network, x, targets, plan, PixelSpace::Plain(), KeyOf).inputs.equal(x));
}

TEST(Attack, LeavesTheNetworkAndTorchsRandomNumbersAsTheyWere) {
  torch::manual_seed(2);
  TestNetwork network(6, 5, 4);
  network.train();
  const at::Tensor x = torch::rand({8, 6});
  const at::Tensor targets = torch::randint(4, {8}, at::kLong);
  std::vector<at::Tensor> before;
  for (const at::Tensor& buffer : network.buffers()) before.push_back(buffer.clone());
  torch::manual_seed(7);
  const at::Tensor next = torch::rand({4});
  torch::manual_seed(7);
  const Attacked got = Attack(network, x, targets, Plan(3), PixelSpace::Plain(), KeyOf);
  EXPECT_TRUE(torch::rand({4}).equal(next));
  EXPECT_FALSE(network.was_training) << "it was attacked in evaluation mode";
  EXPECT_TRUE(network.is_training());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(network.buffers()[i].equal(before[i]));
  for (const at::Tensor& parameter : network.parameters()) EXPECT_FALSE(parameter.grad().defined());
  EXPECT_FALSE(got.inputs.requires_grad());
}

TEST(Attack, ASampleIsAttackedAlikeInEveryBatch) {
  torch::manual_seed(3);
  TestNetwork network(6, 5, 4);
  const at::Tensor x = torch::rand({8, 6});
  const at::Tensor targets = torch::randint(4, {8}, at::kLong);
  const Attacked whole = Attack(network, x, targets, Plan(5), PixelSpace::Plain(), KeyOf);
  const Attacked part = Attack(network, x.narrow(0, 5, 3), targets.narrow(0, 5, 3), Plan(5),
                               PixelSpace::Plain(), [](int64_t i) { return KeyOf(5 + i); });
  EXPECT_TRUE(whole.inputs.narrow(0, 5, 3).allclose(part.inputs, 0, 1e-6));
}

TEST(Attack, MoreRestartsFoolNoFewerSamplesNorLowerALoss) {
  torch::manual_seed(4);
  TestNetwork network(6, 16, 4);
  const at::Tensor x = torch::rand({64, 6});
  network.eval();
  at::Tensor targets = network.forward({x}).argmax(-1);
  AttackPlan plan = Plan(2);
  const Attacked one = Attack(network, x, targets, plan, PixelSpace::Plain(), KeyOf);
  plan.restarts = 4;
  const Attacked four = Attack(network, x, targets, plan, PixelSpace::Plain(), KeyOf);
  EXPECT_TRUE(one.fooled.logical_and(four.fooled.logical_not()).any().item<bool>() == false);
  const at::Tensor gain =
      LossAt(network, four.inputs, targets) - LossAt(network, one.inputs, targets);
  EXPECT_GE(gain.masked_select(four.fooled.logical_not()).min().item<double>(), 0);
}

TEST(Attack, RaisesTheLoss) {
  torch::manual_seed(5);
  TestNetwork network(20, 16, 4);
  const at::Tensor x = torch::rand({32, 20});
  const at::Tensor targets = torch::randint(4, {32}, at::kLong);
  const at::Tensor before = LossAt(network, x, targets).mean();
  for (const AttackLoss loss :
       {AttackLoss::kCrossEntropy, AttackLoss::kDivergence, AttackLoss::kLogitsRatio}) {
    const auto got = Attack(network, x, targets, Plan(5, AttackStart::kUniform, loss),
                            PixelSpace::Plain(), KeyOf);
    if (loss == AttackLoss::kDivergence) {
      EXPECT_GT(
          Divergence(network.forward({x}), network.forward({got.inputs})).mean().item<double>(), 0);
    } else {
      EXPECT_GT(LossAt(network, got.inputs, targets).mean().item<double>(), before.item<double>());
    }
  }
}

TEST(Attack, SamplesWithoutAFiniteGradientStayAndAreCounted) {
  TestNetwork network(3, 0, 2);
  {
    const torch::NoGradGuard no_gradients;
    network.parameters()[0].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  const at::Tensor x = torch::rand({4, 3});
  const Attacked got = Attack(network, x, at::zeros({4}, at::kLong), Plan(3, AttackStart::kNone),
                              PixelSpace::Plain(), KeyOf);
  EXPECT_EQ(got.not_finite, 4);
  EXPECT_TRUE(got.inputs.equal(x));
}

TEST(Attack, DataThatAreNoImagesAreRefused) {
  EXPECT_EQ(PixelSpace::Of(FakeData(0)).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
