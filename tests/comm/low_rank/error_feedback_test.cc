// Nothing is lost over ranks and steps, however the factors travel.

#include <cmath>
#include <vector>

#include "comm/low_rank/low_rank_tensor.h"
#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

// A cluster of ranks in one process: a lossy all-reduce of factors, as with fp16 or 8-bit codecs.
class Cluster {
 public:
  Cluster(int ranks, int64_t rows, int64_t cols, int rank, float loss)
      : loss_(loss),
        tensors_(ranks, LowRankTensor(rows, cols, rank, RandomKey(1))),
        residuals_(ranks, std::vector<float>(rows * cols, 0.0f)) {}

  // One step with error feedback; checks that all ranks got the same bits and returns the result.
  std::vector<float> Reduce(Step step, std::vector<std::vector<float>> gradients) {
    const size_t ranks = tensors_.size();
    std::vector<std::vector<float>> sent(ranks);
    std::vector<float> sum(tensors_[0].FactorElements(step), 0.0f);
    for (size_t r = 0; r < ranks; ++r) {
      for (size_t i = 0; i < gradients[r].size(); ++i) gradients[r][i] += residuals_[r][i];
      sent[r].resize(sum.size());
      tensors_[r].Encode(step, gradients[r], absl::MakeSpan(sent[r]));
      const std::vector<float> noise =
          RandomMatrix(RandomKey(99).With(step.value).With(r), sum.size(), loss_);
      for (size_t i = 0; i < sum.size(); ++i) {
        sent[r][i] *= 1 + noise[i];
        sum[i] += sent[r][i];
      }
    }
    for (size_t r = 0; r < ranks; ++r) {
      tensors_[r].Decode(step, sum, sent[r], absl::MakeSpan(gradients[r]),
                         absl::MakeSpan(residuals_[r]));
      EXPECT_EQ(BitsOf(gradients[r]), BitsOf(gradients[0])) << "rank " << r << ", " << step;
    }
    return gradients[0];
  }

  void SetRank(int rank) {
    for (LowRankTensor& tensor : tensors_) tensor.SetRank(rank);
  }
  const std::vector<std::vector<float>>& residuals() const { return residuals_; }

 private:
  float loss_;
  std::vector<LowRankTensor> tensors_;
  std::vector<std::vector<float>> residuals_;
};

void Add(const std::vector<float>& values, double sign, std::vector<double>* sums) {
  sums->resize(values.size(), 0.0);
  for (size_t i = 0; i < values.size(); ++i) (*sums)[i] += sign * values[i];
}

// Inputs of all ranks so far minus results so far minus residuals: what was lost for good.
double LargestLeak(const std::vector<double>& sent_minus_got, const Cluster& cluster) {
  std::vector<double> leak = sent_minus_got;
  for (const std::vector<float>& residual : cluster.residuals()) Add(residual, -1, &leak);
  double largest = 0;
  for (double x : leak) largest = std::fmax(largest, std::fabs(x));
  return largest;
}

TEST(ErrorFeedback, OneStepOfFourRanksAddsUpThoughFactorsAreLossy) {
  for (float loss : {0.0f, 5e-4f, 1e-2f}) {
    for (const MatrixCase& c : InterestingMatrices()) {
      for (int64_t step = 0; step < 2; ++step) {
        Cluster cluster(4, c.rows, c.cols, c.rank, loss);
        std::vector<std::vector<float>> gradients;
        std::vector<double> balance;
        for (int r = 0; r < 4; ++r) {
          gradients.push_back(RandomMatrix(RandomKey(2).With(step).With(r), c.rows * c.cols));
          Add(gradients.back(), 1, &balance);
        }
        Add(cluster.Reduce(Step(step), gradients), -1, &balance);
        EXPECT_LT(LargestLeak(balance, cluster), 2e-5)
            << c.rows << 'x' << c.cols << " rank " << c.rank << " loss " << loss;
      }
    }
  }
}

TEST(ErrorFeedback, ThousandStepsWithChangingRanksLoseNothing) {
  constexpr int64_t kRows = 12;
  constexpr int64_t kCols = 19;
  Cluster cluster(4, kRows, kCols, 2, 1e-3f);
  std::vector<double> balance;
  int64_t step = 0;
  for (int i = 0; i < 1000; ++i) {
    step += 1 + RandomKey(5).Below(i, 2);  // some steps are skipped: a side comes twice
    if (i % 97 == 0) cluster.SetRank(1 + static_cast<int>(RandomKey(6).Below(i, 13)));
    std::vector<std::vector<float>> gradients;
    for (int r = 0; r < 4; ++r) {
      gradients.push_back(RandomMatrix(RandomKey(7).With(i).With(r), kRows * kCols));
      Add(gradients.back(), 1, &balance);
    }
    Add(cluster.Reduce(Step(step), gradients), -1, &balance);
  }
  EXPECT_LT(LargestLeak(balance, cluster), 2e-3);
}

TEST(ErrorFeedback, ResidualsStayBounded) {
  Cluster cluster(4, 24, 32, 4, 1e-3f);
  double largest = 0;
  for (int64_t step = 0; step < 300; ++step) {
    std::vector<std::vector<float>> gradients;
    for (int r = 0; r < 4; ++r) {
      gradients.push_back(RandomMatrix(RandomKey(8).With(step).With(r), 24 * 32));
    }
    cluster.Reduce(Step(step), gradients);
    if (step >= 100) largest = std::fmax(largest, Norm(cluster.residuals()[0]));
  }
  // A gradient's norm is about 1.15 sqrt(24 * 32) = 32; rank 4 of 24 sends a sixth or more per step.
  EXPECT_LT(largest, 12 * 32);
}

}  // namespace
}  // namespace sluice
