#include "training/loss.h"

#include <torch/types.h>

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

// - sum over classes of weight log softmax, in double; target's weight 1 - e + e / K, others' e / K.
double Expected(const std::vector<double>& logits, int64_t target, double smoothing) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  double loss = 0;
  const double share = smoothing / static_cast<double>(logits.size());
  for (size_t k = 0; k < logits.size(); ++k) {
    const double weight = share + (static_cast<int64_t>(k) == target ? 1 - smoothing : 0);
    loss -= weight * (logits[k] - std::log(sum));
  }
  return loss;
}

const std::vector<std::vector<double>> kLogits = {{1, 2, -1}, {0.5, 0, 3}};

TEST(Loss, SmoothingSpreadsTheTargetsWeight) {
  const at::Tensor logits = torch::tensor({{1.0f, 2.0f, -1.0f}, {0.5f, 0.0f, 3.0f}});
  Batch batch;
  batch.targets = torch::tensor({0, 2}, torch::kLong);
  for (const double smoothing : {0.0, 0.1, 0.5, 1.0}) {
    EXPECT_NEAR(LossSumOverSamples(logits, batch, smoothing).item<double>(),
                Expected(kLogits[0], 0, smoothing) + Expected(kLogits[1], 2, smoothing), 1e-5)
        << smoothing;
  }
  EXPECT_NEAR(LossSumOverPredictions(logits, batch).item<double>(),
              Expected(kLogits[0], 0, 0) + Expected(kLogits[1], 2, 0), 1e-5);
}

TEST(Loss, ASamplesPositionsAreAveragedInTrainingAndSummedInEvaluation) {
  const at::Tensor logits =
      torch::tensor({{1.0f, 2.0f, -1.0f}, {0.5f, 0.0f, 3.0f}}).unsqueeze(0);  // 1 x 2 x 3
  Batch batch;
  batch.targets = torch::tensor({{0, 2}}, torch::kLong);
  const double sum = Expected(kLogits[0], 0, 0.2) + Expected(kLogits[1], 2, 0.2);
  EXPECT_NEAR(LossSumOverSamples(logits, batch, 0.2).item<double>(), sum / 2, 1e-5);
  EXPECT_NEAR(LossSumOverPredictions(logits, batch).item<double>(),
              Expected(kLogits[0], 0, 0) + Expected(kLogits[1], 2, 0), 1e-5);
}

TEST(Loss, LogitsInBf16AreJudgedInFp32) {
  const at::Tensor logits =
      torch::tensor({{1.0f, 2.0f, -1.0f}, {0.5f, 0.0f, 3.0f}}).to(torch::kBFloat16);
  Batch batch;
  batch.targets = torch::tensor({0, 2}, torch::kLong);
  const at::Tensor loss = LossSumOverSamples(logits, batch, 0);
  EXPECT_EQ(loss.scalar_type(), torch::kFloat);
  EXPECT_NEAR(loss.item<double>(), Expected(kLogits[0], 0, 0) + Expected(kLogits[1], 2, 0), 1e-5);
}

}  // namespace
}  // namespace sluice
