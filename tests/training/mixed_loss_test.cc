#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "gtest/gtest.h"
#include "training/loss.h"

namespace sluice {
namespace {

Batch Mixed() {
  Batch batch;
  batch.targets = at::tensor({0, 2, 1}, at::kLong);
  batch.mixed_targets = at::tensor({1, 2, 0}, at::kLong);
  batch.weights = at::tensor({0.25f, 0.5f, 1.0f});
  return batch;
}

// Cross entropy is linear in the target's distribution.
TEST(LossSumOverSamples, OfMixedSamplesIsThatOfMixedTargets) {
  const at::Tensor logits = at::tensor({0.1f, 0.2f, -0.3f, 1.0f, 2.0f, 3.0f, -1.0f, 0.5f, 0.0f})
                                .view({3, 3})
                                .requires_grad_(true);
  const at::Tensor targets =
      at::tensor({0.25f, 0.75f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, 0.0f}).view({3, 3});
  const at::Tensor expected = -(targets * logits.log_softmax(1)).sum();
  const at::Tensor loss = LossSumOverSamples(logits, Mixed());
  EXPECT_NEAR(loss.item<float>(), expected.item<float>(), 1e-5);
  loss.backward();
  EXPECT_TRUE(at::allclose(logits.grad(), logits.detach().softmax(1) - targets));
}

TEST(LossSumOverSamples, OfUnmixedSamplesTakesTheFirstTargets) {
  Batch batch = Mixed();
  const at::Tensor logits = at::eye(3);
  batch.weights = at::ones({3});
  const float all_own = LossSumOverSamples(logits, batch).item<float>();
  batch.weights = at::Tensor();
  batch.mixed_targets = at::Tensor();
  EXPECT_NEAR(LossSumOverSamples(logits, batch).item<float>(), all_own, 1e-5);
}

}  // namespace
}  // namespace sluice
