// Every instruction set of this machine gives the bytes and values of the reference.

#include "tests/comm/instruction_sets.h"

#include <string>
#include <vector>

#include "comm/codec/codec.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"
#include "tests/comm/codec/reference_codec.h"

namespace sluice {
namespace {

class InstructionSetsTest : public EachInstructionSetTest<CodecConfig> {};

TEST_P(InstructionSetsTest, RecordsAreThoseOfTheReference) {
  for (int64_t n : InterestingSizes()) {
    const std::vector<float> values = Gaussian(RandomKey(1).With(n), n);
    const std::vector<std::byte> expected = ReferenceRecord(GetParam(), values, RandomKey(7));
    for (int64_t target : Available()) {
      Use(target);
      ASSERT_EQ(EncodeRecord(GetParam(), values), expected)
          << CodecInstructionSet() << ", " << n << " elements";
    }
    TearDown();
  }
}

TEST_P(InstructionSetsTest, DecodedBitsAgree) {
  const std::vector<int64_t> targets = Available();
  for (int64_t n : InterestingSizes()) {
    const std::vector<float> values = Gaussian(RandomKey(2).With(n), n, 1e-3f);
    const std::vector<std::byte> record = EncodeRecord(GetParam(), values);
    const std::vector<float> expected = DecodeRecord(GetParam(), record, n);
    for (int64_t target : targets) {
      Use(target);
      ASSERT_EQ(BitsOf(DecodeRecord(GetParam(), record, n)), BitsOf(expected))
          << CodecInstructionSet() << ", " << n << " elements";
    }
    TearDown();
  }
}

TEST_P(InstructionSetsTest, SignedZerosAndDenormalsGiveTheReferenceToo) {
  for (int64_t n : InterestingSizes()) {
    std::vector<float> values = Gaussian(RandomKey(3).With(n), n, 1e-40f);
    for (int64_t i = 0; i < n; i += 3) values[i] = i % 2 == 0 ? -0.0f : 0.0f;
    const std::vector<std::byte> expected = ReferenceRecord(GetParam(), values, RandomKey(7));
    for (int64_t target : Available()) {
      Use(target);
      ASSERT_EQ(EncodeRecord(GetParam(), values), expected)
          << CodecInstructionSet() << ", " << n << " elements";
    }
    TearDown();
  }
}

TEST_F(InstructionSetsTest, TheNameIsThatOfTheChosenOne) {
  for (int64_t target : Available()) {
    Use(target);
    EXPECT_FALSE(CodecInstructionSet().empty());
    EXPECT_NE(CodecInstructionSet(), "Unknown");
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, InstructionSetsTest, ::testing::ValuesIn(AllCodecs()),
                         [](const auto& info) { return TestName(info.param); });

}  // namespace
}  // namespace sluice
