#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/low_rank/product_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/low_rank/kernels.h"
#include "comm/low_rank/tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// Every element is the sum over the columns of the factors in order: the width does not matter.
constexpr size_t kProductBand = 60;  // rows whose pages stay known to the processor for all tiles

// Columns per tile: those of two right factors fit half of the first-level cache, and rows are still
// read in runs of some cache lines.
HWY_INLINE size_t ProductTile(size_t rank) {
  constexpr size_t kFloats = 2048;
  const size_t n = kFloats / rank / 64 * 64;
  return n < 64 ? 64 : n > 1024 ? 1024 : n;
}

// What the product of the result and that of what was sent have in common: the basis.
enum class Shared { kLeft, kRight };

// Rows and vectors of one block, as registers and loads have it: sums of two products with one left
// factor, of two with one right factor, or of one product.
template <bool kResidual, Shared kShared>
struct BlockShape {
  static constexpr size_t kRows = !kResidual || kShared == Shared::kLeft ? 4 : 3;
  static constexpr size_t kVecs = !kResidual || kShared == Shared::kRight ? 2 : 1;
};

HWY_INLINE FactorProduct At(const FactorProduct& product, size_t i, size_t j) {
  return {product.left + i, product.left_stride, product.right + j, product.right_stride};
}

template <size_t kRows, size_t kVecs>
struct Sums {
  FloatVec values[kRows][kVecs];

  template <bool kFirst>
  HWY_INLINE void AddColumn(const FactorProduct& product, size_t k) {
    const FloatTag d;
    FloatVec right[kVecs];
    SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) {
      right[v] = hn::LoadU(d, product.right + k * product.right_stride + v * kLanes);
    }
    SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
      const FloatVec left = hn::Set(d, product.left[k * product.left_stride + i]);
      SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) {
        const FloatVec term = hn::Mul(left, right[v]);
        values[i][v] = kFirst ? term : hn::Add(values[i][v], term);
      }
    }
  }
};

// kPartial: only `last` elements of the only vector exist.
template <bool kResidual, size_t kRows, size_t kVecs, bool kPartial>
HWY_INLINE void ProductBlock(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                             float* matrix, float* residual, size_t cols, size_t last) {
  const FloatTag d;
  Sums<kRows, kVecs> whole;
  Sums<kRows, kVecs> part;
  whole.template AddColumn<true>(result, 0);
  if (kResidual) part.template AddColumn<true>(sent, 0);
  // Not unrolled: that spills registers and is slower from rank 4 on, and no faster below.
  for (size_t k = 1; k < rank; ++k) {
    whole.template AddColumn<false>(result, k);
    if (kResidual) part.template AddColumn<false>(sent, k);
  }
  SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
    SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) {
      const size_t at = i * cols + v * kLanes;
      if (kPartial) {
        if (kResidual) {
          const FloatVec m = LoadFirst(matrix + at, last);
          StoreFirst(hn::Sub(m, part.values[i][v]), residual + at, last);
        }
        StoreFirst(whole.values[i][v], matrix + at, last);
      } else {
        if (kResidual) {
          const FloatVec m = hn::LoadU(d, matrix + at);
          hn::StoreU(hn::Sub(m, part.values[i][v]), d, residual + at);
        }
        hn::StoreU(whole.values[i][v], d, matrix + at);
      }
    }
  }
}

// kRows rows of one tile of n columns.
template <bool kResidual, Shared kShared, size_t kRows>
HWY_INLINE void ProductRows(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                            float* matrix, float* residual, size_t cols, size_t n) {
  const auto block = [&](size_t j) HWY_ATTR { return At(result, 0, j); };
  const auto sent_block = [&](size_t j) HWY_ATTR {
    FactorProduct at = At(sent, 0, j);
    // The same names for the same values: the compiler then loads them once.
    if (kShared == Shared::kLeft) at.left = result.left, at.left_stride = result.left_stride;
    if (kShared == Shared::kRight) {
      at.right = result.right + j;
      at.right_stride = result.right_stride;
    }
    return at;
  };
  constexpr size_t kVecs = BlockShape<kResidual, kShared>::kVecs;
  float* lost = residual;
  size_t j = 0;
  for (; j + kVecs * kLanes <= n; j += kVecs * kLanes) {
    ProductBlock<kResidual, kRows, kVecs, false>(block(j), sent_block(j), rank, matrix + j,
                                                 kResidual ? lost + j : lost, cols, 0);
  }
  for (; j + kLanes <= n; j += kLanes) {
    ProductBlock<kResidual, kRows, 1, false>(block(j), sent_block(j), rank, matrix + j,
                                             kResidual ? lost + j : lost, cols, 0);
  }
  if (j < n) {
    ProductBlock<kResidual, kRows, 1, true>(block(j), sent_block(j), rank, matrix + j,
                                            kResidual ? lost + j : lost, cols, n - j);
  }
}

template <bool kResidual, Shared kShared>
HWY_INLINE void Product(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                        float* matrix, size_t rows, size_t cols, float* residual) {
  constexpr size_t kRows = BlockShape<kResidual, kShared>::kRows;
  const size_t tile = ProductTile(rank);
  for (size_t top = 0; top < rows; top += kProductBand) {
    const size_t end = rows - top < kProductBand ? rows : top + kProductBand;
    for (size_t j = 0; j < cols; j += tile) {
      const size_t n = cols - j < tile ? cols - j : tile;
      size_t i = top;
      for (; i + kRows <= end; i += kRows) {
        const size_t at = i * cols + j;
        ProductRows<kResidual, kShared, kRows>(At(result, i, j), At(sent, i, j), rank, matrix + at,
                                               kResidual ? residual + at : nullptr, cols, n);
      }
      for (; i < end; ++i) {
        const size_t at = i * cols + j;
        ProductRows<kResidual, kShared, 1>(At(result, i, j), At(sent, i, j), rank, matrix + at,
                                           kResidual ? residual + at : nullptr, cols, n);
      }
    }
  }
}

void ReplaceWithLeftProductHere(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                                float* matrix, size_t rows, size_t cols, float* residual) {
  Product<true, Shared::kRight>(result, sent, rank, matrix, rows, cols, residual);
}

void ReplaceWithRightProductHere(const FactorProduct& result, const FactorProduct& sent,
                                 size_t rank, float* matrix, size_t rows, size_t cols,
                                 float* residual) {
  Product<true, Shared::kLeft>(result, sent, rank, matrix, rows, cols, residual);
}

void WriteProductHere(const FactorProduct& result, size_t rank, float* matrix, size_t rows,
                      size_t cols) {
  Product<false, Shared::kLeft>(result, result, rank, matrix, rows, cols, nullptr);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(ReplaceWithLeftProductHere);
HWY_EXPORT(ReplaceWithRightProductHere);
HWY_EXPORT(WriteProductHere);

void ReplaceWithLeftProduct(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                            float* matrix, size_t rows, size_t cols, float* residual) {
  HWY_DYNAMIC_DISPATCH(ReplaceWithLeftProductHere)
  (result, sent, rank, matrix, rows, cols, residual);
}

void ReplaceWithRightProduct(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                             float* matrix, size_t rows, size_t cols, float* residual) {
  HWY_DYNAMIC_DISPATCH(ReplaceWithRightProductHere)
  (result, sent, rank, matrix, rows, cols, residual);
}

void WriteProduct(const FactorProduct& result, size_t rank, float* matrix, size_t rows,
                  size_t cols) {
  HWY_DYNAMIC_DISPATCH(WriteProductHere)(result, rank, matrix, rows, cols);
}

}  // namespace sluice
#endif  // HWY_ONCE
