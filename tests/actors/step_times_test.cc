#include "actors/step_times.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

proto::StepReport Report(int rank, std::vector<double> ready, double in_flight, int64_t bytes) {
  proto::StepReport report;
  report.set_rank(rank);
  report.add_steps()->set_sent_bytes(bytes);
  for (double seconds : ready) {
    proto::BucketTiming& bucket = *report.add_buckets();
    bucket.set_ready_seconds(seconds);
    bucket.set_started_seconds(seconds);
    bucket.set_received_seconds(seconds + in_flight);
    bucket.set_encode_seconds(0.25);
    bucket.set_decode_seconds(0.25);
  }
  return report;
}

proto::WindowStatistics Window() {
  proto::WindowStatistics window;
  proto::LayerStatistics& layer = *window.add_layers();
  layer.set_name("layer");
  layer.add_options()->set_codec_seconds(0.1);
  proto::OptionStatistics& half = *layer.add_options();
  half.mutable_codec()->set_kind(proto::CODEC_FP16);
  half.set_codec_seconds(0.5);
  return window;
}

TEST(StepTimes, WithoutReportsAWindowStaysAsItIs) {
  proto::WindowStatistics window = Window();
  StepTimes().MoveTo({}, window);
  EXPECT_FALSE(window.has_times());
}

TEST(StepTimes, TheSlowestRanksMeanSaysWhenABucketIsReady) {
  StepTimes times;
  times.Add(Report(0, {1, 2}, 1, 100));
  times.Add(Report(0, {3, 4}, 1, 100));
  times.Add(Report(1, {1.5, 5}, 1, 100));
  proto::WindowStatistics window = Window();
  times.MoveTo({}, window);
  ASSERT_EQ(window.times().ready_seconds_size(), 2);
  EXPECT_EQ(window.times().ready_seconds(0), 2);
  EXPECT_EQ(window.times().ready_seconds(1), 5);
  EXPECT_EQ(window.times().backward_seconds(), 5);
}

TEST(StepTimes, BandwidthIsWhatBucketsInFlightCarried) {
  StepTimes times;
  times.Add(Report(0, {1, 1.5}, 1, 3000));  // in flight from 1 to 2.5
  proto::WindowStatistics window = Window();
  times.MoveTo({}, window);
  EXPECT_DOUBLE_EQ(window.times().bytes_per_second(), 2000);
}

TEST(StepTimes, AFasterLinkEstimateWins) {
  StepTimes times;
  proto::StepReport report = Report(0, {1}, 1, 3000);
  proto::LinkRecord& link = *report.add_links();
  link.set_bytes_per_second(1e6);
  link.set_latency_seconds(0.125);
  times.Add(report);
  proto::WindowStatistics window = Window();
  times.MoveTo({}, window);
  EXPECT_EQ(window.times().bytes_per_second(), 1e6);
  EXPECT_EQ(window.times().latency_seconds(), 0.125);
}

TEST(StepTimes, CodecSecondsAreScaledToWhatThePlanInForceTook) {
  StepTimes times;
  times.Add(Report(0, {1, 2}, 1, 100));  // encoding and decoding: 1 s
  proto::WindowStatistics window = Window();
  proto::CompressionPolicy half;
  proto::LayerChoice& choice = *half.add_layers();
  choice.set_name("layer");
  choice.mutable_codec()->set_kind(proto::CODEC_FP16);
  times.MoveTo(half, window);
  EXPECT_DOUBLE_EQ(window.layers(0).options(1).codec_seconds(), 1);
  EXPECT_DOUBLE_EQ(window.layers(0).options(0).codec_seconds(), 0.2);
}

TEST(StepTimes, ReportsCountOnce) {
  StepTimes times;
  times.Add(Report(0, {1}, 1, 100));
  proto::WindowStatistics first = Window(), second = Window();
  times.MoveTo({}, first);
  times.MoveTo({}, second);
  EXPECT_FALSE(second.has_times());
}

}  // namespace
}  // namespace sluice
