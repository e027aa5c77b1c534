// Steps allocate nothing: this binary counts calls of operator new.

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "comm/low_rank/low_rank_tensor.h"
#include "gtest/gtest.h"
#include "tests/comm/low_rank/matrix_cases.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace sluice {
namespace {

TEST(Allocation, EncodeAndDecodeAllocateNothing) {
  for (const MatrixCase& c : InterestingMatrices()) {
    LowRankTensor tensor(c.rows, c.cols, c.rank, RandomKey(1));
    for (int64_t step = 0; step < 6; ++step) {
      if (step == 4) tensor.SetRank(2);
      std::vector<float> matrix = RandomMatrix(RandomKey(2).With(step), c.rows * c.cols);
      if (step == 1) matrix.assign(matrix.size(), 0.0f);
      std::vector<float> factor(tensor.FactorElements(Step(step)));
      std::vector<float> residual(matrix.size());
      const int64_t before = allocations.load();
      tensor.Encode(Step(step), matrix, absl::MakeSpan(factor));
      tensor.Decode(Step(step), factor, factor, absl::MakeSpan(matrix), absl::MakeSpan(residual));
      EXPECT_EQ(allocations.load(), before) << c.rows << 'x' << c.cols << ", " << step;
    }
  }
  EXPECT_GT(allocations.load(), 0) << "the counter counts";
}

}  // namespace
}  // namespace sluice
