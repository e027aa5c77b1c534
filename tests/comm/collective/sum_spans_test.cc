#include "comm/collective/sum_spans.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/comm/collective/all_reduce_cases.h"

namespace sluice {
namespace {

TEST(SumSpans, AddToAddsElementByElement) {
  std::vector<float> sums = RoughNumbers(0, 1003);
  const std::vector<float> before = sums, values = RoughNumbers(1, 1003);
  AddTo(absl::MakeSpan(sums), values);
  for (size_t i = 0; i < sums.size(); ++i) ASSERT_EQ(sums[i], before[i] + values[i]) << i;
}

TEST(SumSpans, SumInOrderAddsLeftToRightAndMayOverwriteAnyInput) {
  for (int count : {1, 2, 3, 5}) {
    for (int64_t size : {0, 1, 2047, 2048, 5001}) {
      std::vector<std::vector<float>> values;
      for (int i = 0; i < count; ++i) values.push_back(RoughNumbers(i, size));
      std::vector<float> expected = values[0];
      for (int i = 1; i < count; ++i) {
        for (size_t j = 0; j < expected.size(); ++j) expected[j] += values[i][j];
      }
      for (int overwritten = 0; overwritten < count; ++overwritten) {
        std::vector<float> sums = values[overwritten];
        std::vector<const float*> inputs;
        for (int i = 0; i < count; ++i) {
          inputs.push_back(i == overwritten ? sums.data() : values[i].data());
        }
        SumInOrder(inputs, absl::MakeSpan(sums));
        EXPECT_EQ(sums, expected) << count << " inputs, " << size << " elements";
      }
      std::vector<float> apart(static_cast<size_t>(size));
      std::vector<const float*> inputs;
      for (const auto& input : values) inputs.push_back(input.data());
      SumInOrder(inputs, absl::MakeSpan(apart));
      EXPECT_EQ(apart, expected);
    }
  }
}

}  // namespace
}  // namespace sluice
