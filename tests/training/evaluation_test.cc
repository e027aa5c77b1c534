#include "training/evaluation.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "models/data/dataset.h"
#include "models/zoo/network.h"

namespace sluice {
namespace {

constexpr int64_t kClasses = 9;

// Logit of class c for an input x: deterministic, with ties.
double Logit(int64_t x, int64_t c) { return static_cast<double>((x * 7 + c * c * 3 + x * c) % 11); }

/// Reads logits from the table above.
class TableNetwork : public Network {
 public:
  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    const torch::Tensor x = inputs[0].unsqueeze(-1);
    const torch::Tensor c = torch::arange(kClasses);
    return (x * 7 + c * c * 3 + x * c).remainder(11).to(torch::kFloat);
  }
};

/// Sample i is the number i, or positions i, i + 1, i + 2; its target is input % kClasses.
class Numbers : public Dataset {
 public:
  Numbers(int64_t size, int64_t positions) : size_(size), positions_(positions) {
    shape_.classes = kClasses;
    shape_.target_per_position = positions > 0;
  }
  int64_t size() const override { return size_; }
  const DataShape& shape() const override { return shape_; }
  absl::StatusOr<Batch> Make(absl::Span<const int64_t> indices,
                             const std::optional<Augmentation>&) const override {
    std::vector<int64_t> copied(indices.begin(), indices.end());
    torch::Tensor x = torch::tensor(copied, torch::kLong);
    if (positions_ > 0) x = x.unsqueeze(-1) + torch::arange(positions_);
    Batch batch;
    batch.inputs = {x};
    batch.targets = x.remainder(kClasses);
    return batch;
  }

 private:
  int64_t size_;
  int64_t positions_;
  DataShape shape_;
};

// One prediction after the other, in plain numbers.
proto::Evaluation Naive(int64_t size, int64_t positions) {
  proto::Evaluation sums;
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t p = 0; p < std::max<int64_t>(1, positions); ++p) {
      const int64_t x = i + p, target = x % kClasses;
      int64_t before = 0;
      double total = 0;
      for (int64_t c = 0; c < kClasses; ++c) {
        total += std::exp(Logit(x, c));
        if (Logit(x, c) > Logit(x, target) || (Logit(x, c) == Logit(x, target) && c < target)) {
          ++before;
        }
      }
      sums.set_predictions(sums.predictions() + 1);
      sums.set_correct(sums.correct() + (before == 0 ? 1 : 0));
      sums.set_correct_top5(sums.correct_top5() + (before < 5 ? 1 : 0));
      sums.set_loss_sum(sums.loss_sum() + (std::log(total) - Logit(x, target)));
    }
  }
  return sums;
}

class EvaluationTest : public testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Positions, EvaluationTest, testing::Values(0, 3));

TEST_P(EvaluationTest, AnyWorldsShardsAddUpToTheWholeSet) {
  constexpr int64_t kSize = 1003;  // more than a batch, and no world's multiple
  const Numbers set(kSize, GetParam());
  const proto::Evaluation expected = Naive(kSize, GetParam());
  ASSERT_GT(expected.correct_top5(), expected.correct());
  ASSERT_LT(expected.correct_top5(), expected.predictions());
  TableNetwork network;
  for (const int world : {1, 2, 7, 64}) {
    proto::Evaluation sum;
    for (int r = 0; r < world; ++r) {
      const auto part = EvaluateShardOf(set, Rank(r), world, network);
      ASSERT_TRUE(part.ok()) << part.status();
      sum.set_predictions(sum.predictions() + part->predictions());
      sum.set_correct(sum.correct() + part->correct());
      sum.set_correct_top5(sum.correct_top5() + part->correct_top5());
      sum.set_loss_sum(sum.loss_sum() + part->loss_sum());
    }
    EXPECT_EQ(sum.predictions(), expected.predictions()) << world;
    EXPECT_EQ(sum.correct(), expected.correct()) << world;
    EXPECT_EQ(sum.correct_top5(), expected.correct_top5()) << world;
    EXPECT_NEAR(sum.loss_sum(), expected.loss_sum(), 1e-5 * expected.loss_sum()) << world;
  }
}

TEST(Evaluation, ARankMayHaveNoSamples) {
  const Numbers set(3, 0);
  TableNetwork network;
  const auto part = EvaluateShardOf(set, Rank(4), 5, network);
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->predictions(), 0);
  EXPECT_EQ(part->loss_sum(), 0);
  EXPECT_EQ(part->classes(), kClasses);
}

TEST(Evaluation, SaysWhatAPredictionIs) {
  TableNetwork network;
  EXPECT_FALSE(EvaluateShardOf(Numbers(3, 0), Rank(0), 1, network)->per_position());
  EXPECT_TRUE(EvaluateShardOf(Numbers(3, 2), Rank(0), 1, network)->per_position());
}

}  // namespace
}  // namespace sluice
