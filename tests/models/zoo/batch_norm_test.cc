#include "models/zoo/batch_norm.h"

#include <torch/types.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

// Sums of threads, in the order of their ranks.
class ThreadSums {
 public:
  explicit ThreadSums(int ranks) : parts_(ranks) {}

  SumOverRanks Of(int rank) {
    return [this, rank](absl::Span<float> values) {
      std::unique_lock<std::mutex> lock(mu_);
      parts_[rank].assign(values.begin(), values.end());
      const int round = round_;
      if (++arrived_ == parts_.size()) {
        sum_.assign(values.size(), 0);
        for (const std::vector<float>& part : parts_) {
          for (size_t i = 0; i < part.size(); ++i) sum_[i] += part[i];
        }
        arrived_ = 0;
        ++round_;
        all_arrived_.notify_all();
      }
      all_arrived_.wait(lock, [&] { return round_ != round; });
      std::copy(sum_.begin(), sum_.end(), values.begin());
      return absl::OkStatus();
    };
  }

 private:
  std::mutex mu_;
  std::condition_variable all_arrived_;
  std::vector<std::vector<float>> parts_;
  std::vector<float> sum_;
  size_t arrived_ = 0;
  int round_ = 0;
};

constexpr int64_t kChannels = 3;

struct Outcome {
  at::Tensor y, dx, dweight, dbias, mean, variance;
};

// Two steps on `x`, the second one's outcome. The loss is a sum over samples, and not linear.
template <class Norm>
Outcome RunTwice(Norm norm, const at::Tensor& input) {
  {
    const torch::NoGradGuard no_gradients;
    norm->weight.copy_(at::arange(1, kChannels + 1));
    norm->bias.copy_(at::arange(kChannels) - 1);
  }
  Outcome outcome;
  for (int step = 0; step < 2; ++step) {
    norm->zero_grad();
    const at::Tensor x = input.detach().clone().requires_grad_();
    outcome.y = norm(x);
    (outcome.y.to(at::kFloat) * x.to(at::kFloat)).sin().sum().backward();
    outcome.dx = x.grad();
  }
  outcome.dweight = norm->weight.grad();
  outcome.dbias = norm->bias.grad();
  outcome.mean = norm->running_mean;
  outcome.variance = norm->running_var;
  return outcome;
}

// Every rank with as many samples of `x` as `sizes` says.
std::vector<Outcome> RunShared(const at::Tensor& x, const std::vector<int64_t>& sizes) {
  ThreadSums sums(static_cast<int>(sizes.size()));
  std::vector<Outcome> outcomes(sizes.size());
  const std::vector<at::Tensor> parts = x.split_with_sizes(sizes);
  std::vector<std::thread> threads;
  for (size_t r = 0; r < sizes.size(); ++r) {
    threads.emplace_back([&, r] {
      BatchNorm norm(kChannels);
      norm->Share(std::make_shared<const SumOverRanks>(sums.Of(static_cast<int>(r))));
      outcomes[r] = RunTwice(norm, parts[r]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

void ExpectClose(const at::Tensor& got, const at::Tensor& expected, double tolerance) {
  EXPECT_TRUE(at::allclose(got.to(at::kFloat), expected.to(at::kFloat), tolerance, tolerance))
      << (got - expected).abs().max();
}

at::Tensor Samples(int64_t count) {
  at::manual_seed(3);
  return at::randn({count, kChannels, 4, 5}) * 2 + 7;
}

TEST(BatchNorm, IsTorchsOwnBitForBit) {
  const Outcome ours = RunTwice(BatchNorm(kChannels), Samples(12));
  const Outcome torchs = RunTwice(torch::nn::BatchNorm2d(kChannels), Samples(12));
  EXPECT_TRUE(at::equal(ours.y, torchs.y));
  EXPECT_TRUE(at::equal(ours.dx, torchs.dx));
  EXPECT_TRUE(at::equal(ours.dweight, torchs.dweight));
  EXPECT_TRUE(at::equal(ours.variance, torchs.variance));
  BatchNorm norm(kChannels);
  std::vector<std::string> names;
  for (const auto& item : norm->named_parameters()) names.push_back(item.key());
  for (const auto& item : norm->named_buffers()) names.push_back(item.key());
  EXPECT_EQ(names, (std::vector<std::string>{"weight", "bias", "running_mean", "running_var",
                                             "num_batches_tracked"}));
}

class SharedBatchNorm : public testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(SharedBatchNorm, IsThatOfOneRankWithTheWholeBatch) {
  const at::Tensor x = Samples(12);
  const Outcome whole = RunTwice(torch::nn::BatchNorm2d(kChannels), x);
  const std::vector<Outcome> ranks = RunShared(x, GetParam());
  std::vector<at::Tensor> y, dx;
  at::Tensor dweight = at::zeros({kChannels}), dbias = at::zeros({kChannels});
  for (const Outcome& rank : ranks) {
    y.push_back(rank.y);
    dx.push_back(rank.dx);
    dweight += rank.dweight;
    dbias += rank.dbias;
    ExpectClose(rank.mean, whole.mean, 1e-6);
    ExpectClose(rank.variance, whole.variance, 1e-6);
    EXPECT_TRUE(at::equal(rank.mean, ranks[0].mean));
    EXPECT_TRUE(at::equal(rank.variance, ranks[0].variance));
  }
  ExpectClose(at::cat(y), whole.y, 1e-5);
  ExpectClose(at::cat(dx), whole.dx, 1e-4);
  ExpectClose(dweight, whole.dweight, 1e-4);
  ExpectClose(dbias, whole.dbias, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Slices, SharedBatchNorm,
                         testing::Values(std::vector<int64_t>{12}, std::vector<int64_t>{6, 6},
                                         std::vector<int64_t>{1, 8, 3}));

TEST(BatchNorm, SharedInBf16KeepsTheTypeAndComputesInFp32) {
  const at::Tensor x = Samples(8).to(at::kBFloat16);
  const Outcome whole = RunTwice(torch::nn::BatchNorm2d(kChannels), x.to(at::kFloat));
  const std::vector<Outcome> ranks = RunShared(x, {4, 4});
  EXPECT_EQ(ranks[0].y.scalar_type(), at::kBFloat16);
  EXPECT_EQ(ranks[0].dx.scalar_type(), at::kBFloat16);
  ExpectClose(at::cat({ranks[0].y, ranks[1].y}), whole.y, 1e-2);
  ExpectClose(ranks[0].mean, whole.mean, 1e-6);
}

TEST(BatchNorm, EvaluationUsesRunningStatisticsAndAsksNobody) {
  BatchNorm norm(kChannels);
  norm->Share(std::make_shared<const SumOverRanks>(
      [](absl::Span<float>) { return absl::InternalError("asked"); }));
  norm->eval();
  BatchNorm own(kChannels);
  own->eval();
  const at::Tensor x = Samples(2);
  EXPECT_TRUE(at::equal(norm(x), own(x)));
}

TEST(BatchNorm, ASumThatFailsInBackwardComesOutWithItsCode) {
  int calls = 0;
  BatchNorm norm(kChannels);
  norm->Share(std::make_shared<const SumOverRanks>([&](absl::Span<float>) {
    return ++calls < 3 ? absl::OkStatus() : absl::UnavailableError("rank 1 is gone");
  }));
  const at::Tensor y = norm(Samples(4));
  const absl::Status status = TorchGuard("backward", [&] { y.sum().backward(); });
  EXPECT_EQ(status, absl::UnavailableError("backward: rank 1 is gone"));
}

TEST(BatchNorm, OneValuePerChannelIsRefusedOnAllRanksTogether) {
  BatchNorm norm(kChannels);
  norm->Share(
      std::make_shared<const SumOverRanks>([](absl::Span<float>) { return absl::OkStatus(); }));
  const absl::Status status = TorchGuard("forward", [&] { norm(at::ones({1, kChannels, 1, 1})); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

}  // namespace
}  // namespace sluice
