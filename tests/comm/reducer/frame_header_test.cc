#include "comm/reducer/frame_header.h"

#include <array>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Frame = std::array<std::byte, kFrameHeaderBytes>;

constexpr FrameHeader kHeader = {3, 5, 7, Step(0x0102030405060708), 6, 2, -2, 1, 0x030201};

Frame Written(const FrameHeader& header) {
  Frame frame;
  WriteFrameHeader(header, absl::MakeSpan(frame));
  return frame;
}

TEST(FrameHeader, HasTheDocumentedBytes) {
  const unsigned char expected[] = {'S', 'L',  'F',  3,    3,    0,    0,    0,    5,   0, 0, 0, 7,
                                    0,   0,    0,    8,    7,    6,    5,    4,    3,   2, 1, 6, 0,
                                    0,   0,    1,    1,    2,    3,    2,    0,    0,   0, 0, 0, 0,
                                    0,   0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const Frame frame = Written(kHeader);
  for (size_t i = 0; i < frame.size(); ++i) {
    EXPECT_EQ(static_cast<int>(frame[i]), expected[i]) << "byte " << i;
  }
}

TEST(FrameHeader, ReadInvertsWrite) {
  const Frame frame = Written(kHeader);
  const auto header = ReadFrameHeader(frame);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->plan_in_use, kHeader.plan_in_use);
  EXPECT_EQ(header->newest_plan, kHeader.newest_plan);
  EXPECT_EQ(header->bucket, kHeader.bucket);
  EXPECT_EQ(header->step, kHeader.step);
  EXPECT_EQ(header->segment, kHeader.segment);
  EXPECT_EQ(header->exchange, kHeader.exchange);
  EXPECT_EQ(header->not_finite, kHeader.not_finite);
  EXPECT_EQ(header->sent_ns, kHeader.sent_ns);
  EXPECT_EQ(header->reverse_ns, kHeader.reverse_ns);
}

TEST(FrameHeader, EveryTruncationIsDataLoss) {
  const Frame frame = Written(kHeader);
  for (size_t n = 0; n < frame.size(); ++n) {
    EXPECT_EQ(ReadFrameHeader(absl::MakeConstSpan(frame).first(n)).status().code(),
              absl::StatusCode::kDataLoss)
        << "kept " << n << " bytes";
  }
}

TEST(FrameHeader, AnotherMagicIsDataLoss) {
  for (size_t i = 0; i < 3; ++i) {
    Frame frame = Written(kHeader);
    frame[i] ^= std::byte{0x20};
    EXPECT_EQ(ReadFrameHeader(frame).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(FrameHeader, AnotherFormatIsRefusedWithBothVersions) {
  Frame frame = Written(kHeader);
  frame[3] = std::byte{9};
  const absl::Status status = ReadFrameHeader(frame).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("format 9, expected 3"));
}

TEST(FrameHeader, AnotherOperationIsRefusedWithBothRanksAndValues) {
  const auto check = [](const FrameHeader& theirs) {
    const absl::Status status = CheckSameOperation(kHeader, Rank(1), theirs, Rank(4));
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  FrameHeader other = kHeader;
  EXPECT_TRUE(CheckSameOperation(kHeader, Rank(1), other, Rank(4)).ok());
  other.newest_plan = 99;
  EXPECT_TRUE(CheckSameOperation(kHeader, Rank(1), other, Rank(4)).ok()) << "an announcement";

  other = kHeader;
  other.plan_in_use = 8;
  EXPECT_THAT(check(other), HasSubstr("rank 4 sent plan version 8, rank 1 is at plan version 3"));
  other = kHeader;
  other.bucket = 2;
  EXPECT_THAT(check(other), HasSubstr("rank 4 sent bucket 2, rank 1 is at bucket 7"));
  other = kHeader;
  other.exchange = 0;
  EXPECT_THAT(check(other), HasSubstr("rank 4 sent exchange 0, rank 1 is at exchange 1"));
  other = kHeader;
  other.segment = 2;
  EXPECT_THAT(check(other), HasSubstr("rank 4 sent segment 2, rank 1 is at segment 6"));
  other = kHeader;
  other.step = Step(-1);
  EXPECT_THAT(check(other), AllOf(HasSubstr("rank 4 sent step "), HasSubstr("rank 1 is at step ")));
}

}  // namespace
}  // namespace sluice
