// Every instruction set of this machine gives the top-k records of the reference.

#include <vector>

#include "comm/codec/codec.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"
#include "tests/comm/codec/top_k_cases.h"
#include "tests/comm/instruction_sets.h"

namespace sluice {
namespace {

class TopKInstructionSetsTest : public EachInstructionSetTest<CodecConfig> {
 protected:
  // Runs `check` with each instruction set in use.
  template <class Check>
  static void OnEach(Check check) {
    for (int64_t target : Available()) {
      Use(target);
      check();
      Use(0);
    }
  }
};

TEST_P(TopKInstructionSetsTest, RecordsAreThoseOfTheReference) {
  for (int64_t n : TopKSizes()) {
    for (const TopKInput& input : TopKInputs(RandomKey(1).With(n), n)) {
      const std::vector<std::byte> expected = ReferenceTopKRecord(GetParam(), input.values);
      OnEach([&] {
        EXPECT_EQ(EncodeRecord(GetParam(), input.values), expected)
            << CodecInstructionSet() << ", " << input.name << ", " << n << " elements";
      });
    }
  }
}

TEST_P(TopKInstructionSetsTest, DecodedBitsAgree) {
  for (int64_t n : TopKSizes()) {
    const std::vector<std::byte> record =
        EncodeRecord(GetParam(), Gaussian(RandomKey(2).With(n), n, 1e-3f));
    const std::vector<float> expected = DecodeRecord(GetParam(), record, n);
    OnEach([&] {
      EXPECT_EQ(BitsOf(DecodeRecord(GetParam(), record, n)), BitsOf(expected))
          << CodecInstructionSet() << ", " << n << " elements";
    });
  }
}

INSTANTIATE_TEST_SUITE_P(TopKCodecs, TopKInstructionSetsTest, ::testing::ValuesIn(TopKCodecs()),
                         [](const auto& info) { return TopKTestName(info.param); });

}  // namespace
}  // namespace sluice
