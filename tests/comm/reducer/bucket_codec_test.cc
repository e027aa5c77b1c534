#include "comm/reducer/bucket_codec.h"

#include <deque>
#include <numeric>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

constexpr CodecConfig kMaxMin4 = {CodecKind::kMaxMin, 4, 64};

// Two ranks reduce one bucket by hand.
class BucketCodecTest : public testing::Test {
 protected:
  void Start(int rank, Step step, uint32_t newest_plan, std::vector<float> gradient) {
    data_[rank] = std::move(gradient);
    codecs_[rank].Start(step, newest_plan, absl::MakeSpan(data_[rank]));
  }
  std::vector<std::byte> Frame(int rank, int chunk) {
    std::vector<std::byte> frame(codecs_[rank].SegmentBytes(chunk, 0));
    codecs_[rank].EncodeMine(chunk, 0, absl::MakeSpan(frame));
    return frame;
  }

  const BucketLayout layout_ = *BucketLayout::Create({{"a", 100}, {"b", 60}}, 1024, 2);
  const CodecPlan raw_ = UniformPlan(layout_, 0, Step(0), {});
  const CodecPlan lossy_ = UniformPlan(layout_, 1, Step(0), kMaxMin4);
  BucketCodec& AddCodec(int rank) {
    return codecs_.emplace_back(layout_, 0, BucketCodecOptions{Rank(rank), true, 1});
  }
  std::deque<BucketCodec> codecs_;
  std::vector<float> data_[2];

  BucketCodecTest() {
    for (int r = 0; r < 2; ++r) AddCodec(r);
  }
};

TEST_F(BucketCodecTest, KeepsWhatTheSenderLost) {
  codecs_[0].UsePlan(lossy_);
  std::vector<float> gradient(160);
  std::iota(gradient.begin(), gradient.end(), -7.3f);
  Start(0, Step(5), 1, gradient);
  const std::vector<std::byte> frame = Frame(0, 1);  // chunk 1: a[80, 100) and b
  const std::vector<float> a = codecs_[0].Residual(0);
  std::vector<float> decoded(20);
  ASSERT_TRUE(
      Decode(kMaxMin4,
             absl::MakeConstSpan(frame).subspan(kFrameHeaderBytes, EncodedBytes(kMaxMin4, 20)),
             DecodeMode::kAssign, absl::MakeSpan(decoded))
          .ok());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(a[80 + i], gradient[80 + i] / 2 - decoded[i]);
  EXPECT_THAT(std::vector<float>(a.begin(), a.begin() + 80), Each(0.0f)) << "my own chunk";
}

TEST_F(BucketCodecTest, RefusesAFrameUnderAnotherPlanOfEqualLength) {
  CodecPlan same_length = raw_;
  same_length.version = 9;
  codecs_[0].UsePlan(raw_);
  codecs_[1].UsePlan(same_length);
  Start(0, Step(5), 9, std::vector<float>(160));
  Start(1, Step(5), 9, std::vector<float>(160));
  const absl::Status status = codecs_[0].AddReceived(Rank(1), 0, Frame(1, 0));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("rank 1 sent plan version 9, rank 0 is at plan version 0"));
}

TEST_F(BucketCodecTest, RefusesAFrameOfAnotherStep) {
  for (BucketCodec& codec : codecs_) codec.UsePlan(raw_);
  Start(0, Step(5), 0, std::vector<float>(160));
  Start(1, Step(6), 0, std::vector<float>(160));
  const absl::Status status = codecs_[0].TakeSum(1, 0, Frame(1, 0));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("rank 1 sent step 6"), HasSubstr("rank 0 is at step 5")));
}

TEST_F(BucketCodecTest, RefusesAFrameOfAnotherLength) {
  for (BucketCodec& codec : codecs_) codec.UsePlan(raw_);
  Start(0, Step(5), 0, std::vector<float>(160));
  Start(1, Step(5), 0, std::vector<float>(160));
  std::vector<std::byte> frame = Frame(1, 0);
  frame.pop_back();
  EXPECT_EQ(codecs_[0].AddReceived(Rank(1), 0, frame).code(), absl::StatusCode::kDataLoss);
}

TEST_F(BucketCodecTest, NamesTheTensorOfADamagedRecord) {
  for (BucketCodec& codec : codecs_) codec.UsePlan(lossy_);
  Start(0, Step(5), 1, std::vector<float>(160));
  Start(1, Step(5), 1, std::vector<float>(160));
  std::vector<std::byte> frame(codecs_[1].SegmentBytes(1, 0));
  codecs_[1].EncodeSum(0, absl::MakeSpan(frame));
  const size_t second_record = kFrameHeaderBytes + EncodedBytes(kMaxMin4, 20);
  frame[second_record] ^= std::byte{0xff};
  const absl::Status status = codecs_[0].TakeSum(1, 0, frame);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor b [0, 60)"));
}

TEST_F(BucketCodecTest, LearnsTheLowestAnnouncedPlan) {
  for (BucketCodec& codec : codecs_) codec.UsePlan(raw_);
  Start(0, Step(5), 7, std::vector<float>(160));
  Start(1, Step(5), 4, std::vector<float>(160));
  EXPECT_EQ(codecs_[0].lowest_newest_plan(), 7u);
  ASSERT_TRUE(codecs_[0].AddReceived(Rank(1), 0, Frame(1, 0)).ok());
  EXPECT_EQ(codecs_[0].lowest_newest_plan(), 4u);
  ASSERT_TRUE(codecs_[1].AddReceived(Rank(0), 0, Frame(0, 1)).ok());
  EXPECT_EQ(codecs_[1].lowest_newest_plan(), 4u);
}

TEST_F(BucketCodecTest, RandomnessDependsOnStepTensorRankAndPiece) {
  const CodecPlan random = UniformPlan(layout_, 1, Step(0), {CodecKind::kMaxMin, 4, 64, true});
  for (BucketCodec& codec : codecs_) codec.UsePlan(random);
  std::vector<float> gradient(160);
  for (int i = 0; i < 160; ++i) gradient[i] = static_cast<float>(i % 20);  // all pieces alike
  const auto record = [](const std::vector<std::byte>& frame, size_t at) {
    const auto begin = frame.begin() + static_cast<std::ptrdiff_t>(at);
    const auto bytes =
        static_cast<std::ptrdiff_t>(EncodedBytes({CodecKind::kMaxMin, 4, 64, true}, 20));
    return std::vector<std::byte>(begin, begin + bytes);
  };
  Start(0, Step(5), 1, gradient);
  const auto step5 = record(Frame(0, 1), kFrameHeaderBytes);
  AddCodec(0);
  codecs_.back().UsePlan(random);
  data_[1] = gradient;
  codecs_.back().Start(Step(5), 1, absl::MakeSpan(data_[1]));
  std::vector<std::byte> again(codecs_.back().SegmentBytes(1, 0));
  codecs_.back().EncodeMine(1, 0, absl::MakeSpan(again));
  EXPECT_EQ(record(again, kFrameHeaderBytes), step5) << "a rerun draws the same numbers";

  AddCodec(0);
  codecs_.back().UsePlan(random);
  data_[1] = gradient;
  codecs_.back().Start(Step(6), 1, absl::MakeSpan(data_[1]));
  std::vector<std::byte> later(codecs_.back().SegmentBytes(1, 0));
  codecs_.back().EncodeMine(1, 0, absl::MakeSpan(later));
  EXPECT_NE(record(later, kFrameHeaderBytes), step5) << "another step";
}

}  // namespace
}  // namespace sluice
