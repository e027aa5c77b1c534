#include "policies/compression/exposed_time.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

// Buckets of 1000 and 3000 raw bytes over 1000 bytes/s, ready after 1 and 4 s; backward ends at 4 s.
proto::WindowStatistics Window() {
  proto::WindowStatistics window;
  for (int bucket : {0, 1}) {
    proto::LayerStatistics& layer = *window.add_layers();
    layer.set_eligible(true);
    layer.set_bucket(bucket);
    layer.add_options()->set_wire_bytes(bucket == 0 ? 1000 : 3000);
    proto::OptionStatistics& half = *layer.add_options();
    half.mutable_codec()->set_kind(proto::CODEC_FP16);
    half.set_wire_bytes(bucket == 0 ? 500 : 1500);
    half.set_codec_seconds(0.25);
    proto::OptionStatistics& factors = *layer.add_options();
    factors.mutable_codec()->set_kind(proto::CODEC_LOW_RANK);
    factors.set_wire_bytes(100);
  }
  window.mutable_times()->add_ready_seconds(1);
  window.mutable_times()->add_ready_seconds(4);
  window.mutable_times()->set_backward_seconds(4);
  window.mutable_times()->set_bytes_per_second(1000);
  return window;
}

TEST(PredictExposed, ABucketThatHidesBehindBackwardCostsNothing) {
  EXPECT_DOUBLE_EQ(PredictExposed(Window(), {0, 0}).exposed_seconds, 3);
  EXPECT_DOUBLE_EQ(PredictExposed(Window(), {1, 0}).exposed_seconds, 3);
}

TEST(PredictExposed, TheLastBucketWaitsForThoseBefore) {
  proto::WindowStatistics window = Window();
  window.mutable_layers(0)->mutable_options(0)->set_wire_bytes(5000);
  EXPECT_DOUBLE_EQ(PredictExposed(window, {0, 0}).exposed_seconds, 1 + 5 + 3 - 4);
}

TEST(PredictExposed, EncodingTakesItsTimeToo) {
  EXPECT_DOUBLE_EQ(PredictExposed(Window(), {0, 1}).exposed_seconds, 1.5 + 0.25);
  EXPECT_DOUBLE_EQ(PredictExposed(Window(), {1, 1}).communication_seconds, 2 + 2 * 0.25);
}

TEST(PredictExposed, AMessageHasTwoLatenciesAndALowRankOneFour) {
  proto::WindowStatistics window = Window();
  window.mutable_times()->set_latency_seconds(0.01);
  EXPECT_DOUBLE_EQ(PredictExposed(window, {0, 1}).exposed_seconds, 1.75 + 2 * 0.01);
  EXPECT_NEAR(PredictExposed(window, {0, 2}).exposed_seconds, 0.1 + 4 * 0.01, 1e-12);
}

TEST(PredictExposed, HeadersAreSharedAmongBuckets) {
  proto::WindowStatistics window = Window();
  window.set_fixed_wire_bytes(200);
  EXPECT_DOUBLE_EQ(PredictExposed(window, {0, 1}).exposed_seconds, 1.75 + 0.1);
}

TEST(PredictExposed, CommunicationThatEndsBeforeBackwardIsNotNegative) {
  proto::WindowStatistics window = Window();
  window.mutable_times()->set_backward_seconds(100);
  EXPECT_EQ(PredictExposed(window, {0, 0}).exposed_seconds, 0);
}

TEST(KnowsTimes, NeedsABandwidthAndEveryLayersBucket) {
  EXPECT_TRUE(KnowsTimes(Window()));
  EXPECT_FALSE(KnowsTimes(proto::WindowStatistics()));
  proto::WindowStatistics window = Window();
  window.mutable_times()->set_bytes_per_second(0);
  EXPECT_FALSE(KnowsTimes(window));
  window = Window();
  window.mutable_layers(1)->set_bucket(2);
  EXPECT_FALSE(KnowsTimes(window));
}

}  // namespace
}  // namespace sluice
