#include "actors/step_times.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

proto::StepReport Report(int rank, std::vector<double> ready, double in_flight, int64_t bytes) {
  proto::StepReport report;
  report.set_rank(rank);
  report.add_steps()->set_sent_bytes(bytes);
  report.mutable_steps(0)->set_policy_version(1);
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

void AddLink(proto::StepReport& report, double latency, double bandwidth) {
  proto::LinkRecord& link = *report.add_links();
  link.set_latency_seconds(latency);
  link.set_bytes_per_second(bandwidth);
}

TEST(StepTimes, ALinkThatNobodyWaitedForIsAsFastAsItsEstimate) {
  StepTimes times;
  proto::StepReport report = Report(0, {1}, 1, 3000);
  AddLink(report, 0.125, 1e6);
  times.Add(report);
  proto::WindowStatistics window = Window();
  window.mutable_layers(0)->mutable_options(0)->set_wire_bytes(0);
  times.MoveTo({}, window);
  EXPECT_NEAR(window.times().bytes_per_second(), 1e6, 1);
  EXPECT_EQ(window.times().latency_seconds(), 0.125);
}

TEST(StepTimes, TheBandwidthExplainsTheExposedTimeOfTheRankThatWaitedLeast) {
  StepTimes times;
  proto::WindowStatistics window = Window();
  window.mutable_layers(0)->mutable_options(0)->set_wire_bytes(1e6);
  for (int rank : {0, 1}) {
    proto::StepReport report = Report(rank, {1}, 100, 1000);  // carried: 10 bytes/s
    report.mutable_buckets(0)->clear_encode_seconds();
    report.mutable_buckets(0)->clear_decode_seconds();
    report.mutable_steps(0)->set_exposed_seconds(rank == 0 ? 2.1 : 5);
    AddLink(report, 0, 1e9);
    times.Add(report);
  }
  times.MoveTo({}, window);
  EXPECT_NEAR(window.times().bytes_per_second(), 1e6 / 2, 10);  // 2 s, and 0.1 s of encoding
}

TEST(StepTimes, ALinkThatSeemsFasterIsBelievedLittleByLittle) {
  StepTimes times;
  double before = 0;
  for (int w = 0; w < 3; ++w) {
    proto::StepReport report = Report(0, {1}, 100, 1000);
    AddLink(report, 0, w == 0 ? 1e3 : 1e9);
    times.Add(report);
    proto::WindowStatistics window = Window();
    times.MoveTo({}, window);
    if (w > 0) {
      EXPECT_NEAR(window.times().bytes_per_second(), StepTimes::kGrowth * before, 1);
    }
    before = window.times().bytes_per_second();
  }
}

TEST(StepTimes, OfRawStepsOnlyWhatTheyWereExposedMoreCounts) {
  StepTimes times;
  proto::WindowStatistics window = Window();
  window.mutable_layers(0)->mutable_options(0)->set_wire_bytes(1e6);
  window.mutable_layers(0)->mutable_options(1)->set_wire_bytes(0);
  for (auto& option : *window.mutable_layers(0)->mutable_options()) option.clear_codec_seconds();
  proto::CompressionPolicy half;
  half.add_layers()->set_name("layer");
  half.mutable_layers(0)->mutable_codec()->set_kind(proto::CODEC_FP16);
  for (const bool raw : {true, false}) {
    proto::StepReport report = Report(0, {1}, 100, 1000);
    report.mutable_steps(0)->set_policy_version(raw ? 0 : 1);
    report.mutable_steps(0)->set_exposed_seconds(raw ? 7 : 3);  // 3 s whatever is sent
    AddLink(report, 0, 1e9);
    times.Add(report);
  }
  times.MoveTo(half, window);
  EXPECT_NEAR(window.times().bytes_per_second(), 1e6 / 4, 10);
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
