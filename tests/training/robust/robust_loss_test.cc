#include "training/robust/robust_loss.h"

#include <torch/types.h>

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/training/robust/test_matrices.h"

namespace sluice {
namespace {

at::Tensor TensorOf(const nlohmann::json& rows) {
  const Matrix m = MatrixOf(rows);
  return at::from_blob(const_cast<double*>(m.data()), {m.rows(), m.cols()}, at::kDouble).clone();
}

struct Vectors {
  nlohmann::json all = TscncVectors()["losses"];
  at::Tensor clean = TensorOf(all["logits_clean"]);
  at::Tensor attacked = TensorOf(all["logits_adv"]);
  at::Tensor targets = at::tensor(all["y"].get<std::vector<int64_t>>());

  // The mean over the samples.
  void Expect(const at::Tensor& losses, const char* name) const {
    EXPECT_NEAR(losses.mean().item<double>(), all[name], 1e-9) << name;
  }
  void ExpectEach(const at::Tensor& losses, const char* name) const {
    for (int64_t i = 0; i < losses.size(0); ++i) {
      EXPECT_NEAR(losses[i].item<double>(), all[name][static_cast<size_t>(i)], 1e-9) << name;
    }
  }
};

TEST(RobustLoss, HasThePublishedValues) {
  const Vectors v;
  v.Expect(CrossEntropy(v.clean, v.targets), "ce_clean_mean");
  v.Expect(CrossEntropy(v.attacked, v.targets), "ce_adv_mean");
  v.ExpectEach(Divergence(v.clean, v.attacked), "kl_clean_adv_per_sample");
  v.ExpectEach(LogitsRatio(v.attacked, v.targets), "dlr_adv_per_sample");
  v.Expect(Trades(v.clean, v.attacked, v.targets, 6), "trades_beta6");
}

// The published code has two more floors, of 1e-12 and 1e-7, which logs of a softmax do without.
TEST(RobustLoss, MartIsThePublishedCodes) {
  const Vectors v;
  EXPECT_NEAR(Mart(v.clean, v.attacked, v.targets, 5).mean().item<double>(),
              v.all["mart_lambda5_with_reference_eps"], 1e-6);
}

TEST(RobustLoss, DivergenceIsNotNegativeAndZeroOfEqualLogits) {
  const at::Tensor a = at::linspace(-20, 20, 60, at::kDouble).view({6, 10});
  const at::Tensor b = (a * 1.7).sin();
  EXPECT_GE(Divergence(a, b).min().item<double>(), 0);
  EXPECT_EQ(Divergence(a, a).abs().max().item<double>(), 0);
}

TEST(RobustLoss, OfFarLogitsAllAreFinite) {
  const at::Tensor clean = at::tensor({1000.0, 0.0, -1000.0}).view({1, 3});
  const at::Tensor targets = at::tensor({int64_t{0}});
  EXPECT_TRUE(std::isfinite(Mart(clean, -clean, targets, 5).item<double>()));
  EXPECT_TRUE(std::isfinite(Trades(clean, -clean, targets, 6).item<double>()));
}

TEST(RobustLoss, HalfPrecisionLogitsAreWidened) {
  const Vectors v;
  EXPECT_EQ(
      Trades(v.clean.to(at::kBFloat16), v.attacked.to(at::kBFloat16), v.targets, 6).scalar_type(),
      at::kFloat);
}

}  // namespace
}  // namespace sluice
