#include "comm/collective/link_model.h"

#include <cmath>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr double kHours = 5 * 3600.0;

// Two processes whose clocks differ, and what is between them.
class TwoProcesses {
 public:
  double latency = 50e-6;
  double bytes_per_second = 1e9;
  double clock_offset = kHours;  // of process 1
  double jitter = 0;             // mean of an exponential delay

  // One message each way of about `bytes`, as frames carry it: with the sender's intercept.
  void Swap(int64_t bytes) {
    for (int to = 0; to < 2; ++to) {
      LinkModel& receiver = models_[to];
      const LinkModel& sender = models_[1 - to];
      const double offset = to == 1 ? clock_offset : -clock_offset;
      const double uniform = static_cast<double>(random_.Below(count_++, 1 << 20)) / (1 << 20);
      const double queueing = -jitter * std::log(1 - uniform);
      receiver.Observe(Rank(1 - to), bytes,
                       offset + latency + static_cast<double>(bytes) / bytes_per_second + queueing);
      if (const auto intercept = sender.Intercept(Rank(to))) {
        receiver.ObserveReverse(Rank(1 - to), *intercept);
      }
    }
  }

  // A step's messages: buckets of several sizes.
  void Steps(int steps) {
    for (int step = 0; step < steps; ++step) {
      for (int64_t bytes : {100, 20000, 300000, 1000000}) Swap(bytes);
    }
  }

  std::optional<LinkEstimate> Estimate(int at) const { return models_[at].Estimate(Rank(1 - at)); }
  LinkModel& model(int at) { return models_[at]; }

 private:
  std::vector<LinkModel> models_ = std::vector<LinkModel>(2, LinkModel(2));
  const RandomKey random_ = RandomKey(4);
  uint64_t count_ = 0;
};

TEST(LinkModel, KnowsNothingBeforeItHasSeenEnough) {
  TwoProcesses pair;
  EXPECT_EQ(pair.Estimate(0), std::nullopt);
  pair.Steps(1);
  EXPECT_EQ(pair.Estimate(0), std::nullopt);
  EXPECT_EQ(pair.model(0).Intercept(Rank(1)), std::nullopt);
  pair.Steps(2);
  EXPECT_NE(pair.Estimate(0), std::nullopt);
}

TEST(LinkModel, ClocksHoursApartDoNotMatter) {
  TwoProcesses pair;
  pair.Steps(3);
  for (int at = 0; at < 2; ++at) {
    ASSERT_TRUE(pair.Estimate(at));
    EXPECT_NEAR(pair.Estimate(at)->latency_seconds, 50e-6, 1e-9);
    EXPECT_NEAR(pair.Estimate(at)->bytes_per_second, 1e9, 1e4);
    EXPECT_EQ(pair.Estimate(at)->observations, 12);
  }
  // Alone an intercept is mostly offset.
  EXPECT_NEAR(*pair.model(1).Intercept(Rank(0)), kHours, 1e-3);
}

TEST(LinkModel, JitterOfManyTimesTheLatencyIsSeenThrough) {
  TwoProcesses pair;
  pair.jitter = 200e-6;
  pair.Steps(16);
  for (int at = 0; at < 2; ++at) {
    ASSERT_TRUE(pair.Estimate(at));
    EXPECT_NEAR(pair.Estimate(at)->latency_seconds, 50e-6, 25e-6);
    EXPECT_NEAR(pair.Estimate(at)->bytes_per_second, 1e9, 1e8);
  }
}

TEST(LinkModel, RareStallsDoNotMatterAtAll) {
  TwoProcesses pair;
  pair.Steps(8);
  const LinkEstimate before = *pair.Estimate(0);
  pair.latency = 0.5;  // a stall
  pair.Steps(1);
  EXPECT_EQ(pair.Estimate(0)->latency_seconds, before.latency_seconds);
  EXPECT_EQ(pair.Estimate(0)->bytes_per_second, before.bytes_per_second);
}

TEST(LinkModel, ASlowerLinkIsKnownOnceItsSizesHaveComeAgain) {
  TwoProcesses pair;
  pair.jitter = 10e-6;
  pair.Steps(100);
  pair.bytes_per_second = 1e8;
  pair.Steps(LinkModel::kPointsPerSize);
  ASSERT_TRUE(pair.Estimate(0));
  EXPECT_NEAR(pair.Estimate(0)->bytes_per_second, 1e8, 2e6);
  EXPECT_NEAR(pair.Estimate(0)->latency_seconds, 50e-6, 10e-6);
}

TEST(LinkModel, AFasterLinkIsKnownWithinFewSteps) {
  TwoProcesses pair;
  pair.Steps(100);
  pair.bytes_per_second = 1e10;
  pair.Steps(2);
  ASSERT_TRUE(pair.Estimate(0));
  EXPECT_NEAR(pair.Estimate(0)->bytes_per_second, 1e10, 1e7);
}

TEST(LinkModel, ASizeThatNobodySendsAnyMoreIsForgotten) {
  TwoProcesses pair;
  for (int i = 0; i < 20; ++i) pair.Swap(50000);
  pair.latency = 1e-3;
  pair.bytes_per_second = 1e8;
  // One swap more, for the intercept that travels with it.
  for (int64_t i = 0; i <= LinkModel::kMostAge / 2; ++i) {
    pair.Swap(2000);
    pair.Swap(1000000);
  }
  ASSERT_TRUE(pair.Estimate(0));
  EXPECT_NEAR(pair.Estimate(0)->latency_seconds, 1e-3, 1e-6);
  EXPECT_NEAR(pair.Estimate(0)->bytes_per_second, 1e8, 1e5);
}

TEST(LinkModel, MessagesOfOneLengthDoNotTellBandwidthFromLatency) {
  TwoProcesses pair;
  for (int i = 0; i < 100; ++i) pair.Swap(1000);
  EXPECT_EQ(pair.Estimate(0), std::nullopt);
}

TEST(LinkModel, WithoutTheOtherDirectionThereIsNoLatency) {
  LinkModel model(3);
  for (int i = 0; i < 50; ++i) model.Observe(Rank(2), 1000 * i, 7.0 + 1e-6 * i);
  EXPECT_NEAR(*model.Intercept(Rank(2)), 7.0, 1e-9);
  EXPECT_EQ(model.Estimate(Rank(2)), std::nullopt);
  model.ObserveReverse(Rank(2), -6.9);
  EXPECT_NEAR(model.Estimate(Rank(2))->latency_seconds, 0.05, 1e-9);
  EXPECT_EQ(model.Estimate(Rank(1)), std::nullopt);
}

TEST(LinkModel, TransfersThatSeemFasterTheLongerTheyAreGiveNoEstimate) {
  LinkModel model(2);
  model.ObserveReverse(Rank(1), 0);
  for (int i = 0; i < 50; ++i) model.Observe(Rank(1), 1000 * i, 1.0 - 1e-6 * i);
  EXPECT_EQ(model.Estimate(Rank(1)), std::nullopt);
}

}  // namespace
}  // namespace sluice
