#include "training/kept_zeros.h"

#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

const std::vector<ParameterInfo> kParameters = {{"a", {2, 3}}, {"b", {4}}};

std::vector<float> Masked(const KeptZeros& zeros, int index, size_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 1.0f);
  zeros.ZeroIn(index, absl::MakeSpan(values));
  return values;
}

TEST(KeptZeros, ZeroesItsRunsOfAParameterAndNothingElse) {
  KeptZeros zeros;
  zeros.Add({{0, 1, 2}, {0, 5, 1}, {1, 0, 1}});
  EXPECT_THAT(Masked(zeros, 0, 6), ElementsAre(1, 0, 0, 4, 5, 0));
  EXPECT_THAT(Masked(zeros, 1, 4), ElementsAre(0, 2, 3, 4));
  EXPECT_THAT(Masked(zeros, 2, 2), ElementsAre(1, 2));
}

TEST(KeptZeros, TheSameElementsHaveTheSameDigestHoweverTheyCame) {
  KeptZeros once, bit_by_bit;
  once.Add({{0, 0, 4}, {1, 2, 2}});
  bit_by_bit.Add({{1, 3, 1}, {0, 2, 2}});
  bit_by_bit.Add({{0, 0, 3}, {1, 2, 1}});
  EXPECT_EQ(once.digest(), bit_by_bit.digest());
  bit_by_bit.Add({{1, 0, 1}});
  EXPECT_NE(once.digest(), bit_by_bit.digest());
  EXPECT_EQ(KeptZeros().digest(), 0u);
}

TEST(KeptZeros, ComesBackFromItsTensorInThePlaceOfWhatWasThere) {
  KeptZeros zeros, other;
  zeros.Add({{0, 2, 3}, {1, 0, 4}});
  other.Add({{0, 0, 1}});
  ASSERT_TRUE(other.Load(zeros.Save("zeros"), kParameters).ok());
  EXPECT_EQ(other.digest(), zeros.digest());
  EXPECT_THAT(Masked(other, 0, 6), ElementsAre(1, 2, 0, 0, 0, 6));
}

TEST(KeptZeros, RunsOfOtherParametersAreRefusedAndChangeNothing) {
  KeptZeros zeros;
  zeros.Add({{0, 2, 3}});
  const uint64_t before = zeros.digest();
  for (const ElementRun wrong : {ElementRun{2, 0, 1}, ElementRun{-1, 0, 1}, ElementRun{1, 3, 2},
                                 ElementRun{1, -1, 2}, ElementRun{1, 0, 0}, ElementRun{1, 9, 1}}) {
    const std::vector<int64_t> words = {wrong.parameter, wrong.begin, wrong.size};
    const SafeTensor tensor = {
        "zeros", "I64", {1, 3}, {reinterpret_cast<const char*>(words.data()), 24}};
    EXPECT_EQ(zeros.Load(tensor, kParameters).code(), absl::StatusCode::kDataLoss)
        << wrong.parameter << " " << wrong.begin << " " << wrong.size;
  }
  EXPECT_EQ(zeros.Load({"zeros", "F32", {0, 3}, ""}, kParameters).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(zeros.digest(), before);
}

}  // namespace
}  // namespace sluice
