// Every instruction set of this machine gives the same bits: ranks may have different processors.

#include "tests/comm/instruction_sets.h"

#include <string>
#include <vector>

#include "comm/low_rank/kernels.h"
#include "comm/low_rank/low_rank_tensor.h"
#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace sluice {
namespace {

class LowRankInstructionSetsTest : public EachInstructionSetTest<MatrixCase> {};

std::vector<std::vector<uint32_t>> BitsOfSomeSteps(const MatrixCase& c, float scale) {
  std::vector<std::vector<uint32_t>> bits;
  LowRankTensor tensor(c.rows, c.cols, c.rank, RandomKey(1));
  for (int64_t step = 0; step < 5; ++step) {
    if (step == 3) tensor.SetRank(c.rank + 2);
    const std::vector<float> matrix =
        step == 2 ? std::vector<float>(c.rows * c.cols, 0.0f)  // then a basis of replacements
                  : RandomMatrix(RandomKey(2).With(step), c.rows * c.cols, scale);
    const StepResult out = RunAlone(&tensor, Step(step), matrix);
    bits.push_back(BitsOf(out.factor));
    bits.push_back(BitsOf(out.result));
    bits.push_back(BitsOf(out.residual));
    std::vector<float> without = matrix;
    LowRankTensor copy = tensor;
    std::vector<float> factor(copy.FactorElements(Step(step)));
    copy.Encode(Step(step), without, absl::MakeSpan(factor));
    copy.Decode(Step(step), factor, {}, absl::MakeSpan(without), {});
    bits.push_back(BitsOf(without));
  }
  return bits;
}

TEST_P(LowRankInstructionSetsTest, FactorsResultsAndResidualsAgree) {
  const std::vector<int64_t> targets = Available();
  for (float scale : {1.0f, 1e-19f, 1e-39f}) {
    Use(targets.front());
    const auto expected = BitsOfSomeSteps(GetParam(), scale);
    for (int64_t target : targets) {
      Use(target);
      ASSERT_EQ(BitsOfSomeSteps(GetParam(), scale), expected)
          << LowRankInstructionSet() << ", scale " << scale;
    }
    TearDown();
  }
}

TEST_F(LowRankInstructionSetsTest, TheNameIsThatOfTheChosenOne) {
  for (int64_t target : Available()) {
    Use(target);
    EXPECT_NE(std::string(LowRankInstructionSet()), "");
    EXPECT_NE(std::string(LowRankInstructionSet()), "Unknown");
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LowRankInstructionSetsTest,
                         ::testing::ValuesIn(InterestingMatrices()), [](const auto& info) {
                           return std::to_string(info.param.rows) + "x" +
                                  std::to_string(info.param.cols) + "_rank" +
                                  std::to_string(info.param.rank);
                         });

}  // namespace
}  // namespace sluice
