#include "actors/window_gatherer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr int64_t kWindowSteps = 10;
const absl::Time kStart = absl::UnixEpoch();

proto::CodecChoice Bits(int bits) {
  proto::CodecChoice codec;
  codec.set_kind(proto::CODEC_MAXMIN);
  codec.set_bits(bits);
  codec.set_bucket_size(512);
  return codec;
}

// Layers a, b and c: raw, the reference of 4 bits, 2 bits.
proto::WindowStatistics Sizes() {
  proto::WindowStatistics sizes;
  sizes.set_world_size(2);
  sizes.set_fixed_wire_bytes(77);
  for (const char* name : {"a", "b", "c"}) {
    proto::LayerStatistics& layer = *sizes.add_layers();
    layer.set_name(name);
    layer.set_eligible(true);
    layer.add_options()->set_wire_bytes(400);
    for (int bits : {4, 2}) *layer.add_options()->mutable_codec() = Bits(bits);
  }
  return sizes;
}

// What the profiler of `names` found: 100 * window as every layer's norm.
proto::WindowStatistics Part(int64_t window, const std::vector<std::string>& names) {
  proto::WindowStatistics part;
  part.set_window(window);
  part.set_last_step((window + 1) * kWindowSteps - 1);
  const proto::WindowStatistics sizes = Sizes();
  for (const std::string& name : names) {
    for (const proto::LayerStatistics& layer : sizes.layers()) {
      if (layer.name() != name) continue;
      *part.add_layers() = layer;
      part.mutable_layers(part.layers_size() - 1)
          ->set_squared_norm(100.0 * static_cast<double>(window + 1));
    }
  }
  return part;
}

std::vector<double> Norms(const proto::WindowStatistics& window) {
  std::vector<double> norms;
  for (const proto::LayerStatistics& layer : window.layers()) norms.push_back(layer.squared_norm());
  return norms;
}

class WindowGathererTest : public testing::Test {
 protected:
  // Profiler 0 measures a and c, profiler 1 measures b.
  std::vector<proto::WindowStatistics> First(int64_t window) {
    return gatherer_.OnPart(0, Part(window, {"a", "c"}), now_);
  }
  std::vector<proto::WindowStatistics> Second(int64_t window) {
    return gatherer_.OnPart(1, Part(window, {"b"}), now_);
  }
  std::vector<proto::WindowStatistics> After(absl::Duration time) {
    now_ += time;
    return gatherer_.OnTick(now_);
  }

  absl::Time now_ = kStart;
  WindowGatherer gatherer_{Sizes(), Bits(4), 2};
};

TEST_F(WindowGathererTest, OneProfilersPartIsTheWindow) {
  WindowGatherer alone(Sizes(), Bits(4), 1);
  const auto windows = alone.OnPart(0, Part(3, {"a", "b", "c"}), now_);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].window(), 3);
  EXPECT_EQ(windows[0].last_step(), 39);
  EXPECT_EQ(windows[0].world_size(), 2);
  EXPECT_EQ(windows[0].fixed_wire_bytes(), 77);
  EXPECT_THAT(Norms(windows[0]), testing::Each(400));
}

TEST_F(WindowGathererTest, PartsComeTogetherInTheOrderOfTheModelWhoeverIsFirst) {
  EXPECT_TRUE(Second(0).empty());
  const auto windows = First(0);
  ASSERT_EQ(windows.size(), 1u);
  ASSERT_EQ(windows[0].layers_size(), 3);
  EXPECT_EQ(windows[0].layers(1).name(), "b");
  EXPECT_THAT(Norms(windows[0]), testing::Each(100));
}

TEST_F(WindowGathererTest, ALostProfilersLayersKeepTheirStatistics) {
  First(0), Second(0);
  EXPECT_TRUE(First(1).empty());
  const auto windows = gatherer_.OnLost(1);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_THAT(Norms(windows[0]), testing::ElementsAre(200, 100, 200));
  EXPECT_EQ(First(2).size(), 1u) << "nobody waits for it any more";
}

TEST_F(WindowGathererTest, OfALayerThatWasNeverMeasuredTheReferenceStays) {
  gatherer_.OnLost(1);
  const auto windows = First(0);
  ASSERT_EQ(windows.size(), 1u);
  const proto::LayerStatistics& layer = windows[0].layers(1);
  ASSERT_EQ(layer.options_size(), 2);
  EXPECT_EQ(layer.options(0).codec().kind(), proto::CODEC_RAW);
  EXPECT_EQ(layer.options(1).codec().bits(), 4);
  EXPECT_EQ(layer.options(1).squared_error(), 0);
}

TEST_F(WindowGathererTest, ASlowProfilerIsWaitedForOnceAndOnlyForAWhile) {
  First(0), Second(0);
  First(1);
  EXPECT_TRUE(After(WindowGatherer::kPatience - absl::Milliseconds(1)).empty());
  EXPECT_EQ(After(absl::Milliseconds(1)).size(), 1u);
  EXPECT_EQ(First(2).size(), 1u);
}

TEST_F(WindowGathererTest, ALatePartStillTellsWhatItsLayersLose) {
  First(0);
  After(WindowGatherer::kPatience);
  EXPECT_TRUE(Second(0).empty()) << "its window has been given out";
  const auto windows = First(1);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_THAT(Norms(windows[0]), testing::ElementsAre(200, 100, 200));
}

TEST_F(WindowGathererTest, WhoeverIsInTimeAgainIsWaitedForAgain) {
  First(0);
  After(WindowGatherer::kPatience);
  EXPECT_TRUE(Second(1).empty());
  EXPECT_EQ(First(1).size(), 1u);
  EXPECT_TRUE(First(2).empty());
}

TEST_F(WindowGathererTest, AWindowThatAProfilerPassedOverIsNotWaitedFor) {
  First(0);
  const auto windows = Second(1);  // it will not go back
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].window(), 0);
  EXPECT_EQ(First(1).size(), 1u);
}

TEST_F(WindowGathererTest, WindowsAreGivenOutInOrder) {
  First(0), First(1);
  const auto windows = gatherer_.OnLost(1);
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].window(), 0);
  EXPECT_EQ(windows[1].window(), 1);
}

TEST_F(WindowGathererTest, AnOldPartDoesNotReplaceANewerOne) {
  First(0);
  After(WindowGatherer::kPatience);
  Second(2);
  Second(0);
  const auto windows = First(2);
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_THAT(Norms(windows[0]), testing::Each(300));
}

}  // namespace
}  // namespace sluice
