#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/low_rank/factor_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/low_rank/kernels.h"
#include "comm/low_rank/tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

// ---- matrix * basis: dot products along rows -------------------------------------------------------
//
// A dot product is the sum, in order, over tiles of kDotTile columns; within a tile, eight partial sums
// whatever the vector width, so that every machine gets the same bits.
constexpr size_t kPartial = 8;
constexpr size_t kDotTile = 1024;  // a tile of 8 basis columns fits the first-level cache

using PartialTag = hn::CappedTag<float, kPartial>;
using PartialVec = hn::Vec<PartialTag>;
constexpr size_t kPartialLanes = hn::MaxLanes(PartialTag());
constexpr size_t kPartialVecs = kPartial / kPartialLanes;

// `rows` rows times kColumns basis columns, over n <= kDotTile columns of the matrix.
template <size_t kRows, size_t kColumns>
HWY_INLINE void DotBlock(const float* matrix, size_t row_stride, size_t n, const float* basis,
                         size_t basis_stride, bool first, float* factor, size_t factor_stride) {
  const PartialTag d;
  PartialVec sums[kRows][kColumns][kPartialVecs];
  SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
    SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
      SLUICE_UNROLL for (size_t v = 0; v < kPartialVecs; ++v) sums[i][k][v] = hn::Zero(d);
    }
  }
  const auto add = [&](const float* const* rows, size_t at, size_t j) HWY_ATTR {
    SLUICE_UNROLL for (size_t v = 0; v < kPartialVecs; ++v) {
      PartialVec m[kRows];
      SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
        m[i] = hn::LoadU(d, rows[i] + at + v * kPartialLanes);
      }
      SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
        const PartialVec b = hn::LoadU(d, basis + k * basis_stride + j + v * kPartialLanes);
        SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
          sums[i][k][v] = hn::Add(sums[i][k][v], hn::Mul(m[i], b));
        }
      }
    }
  };
  const float* rows[kRows];
  SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) rows[i] = matrix + i * row_stride;
  size_t j = 0;
  for (; j + kPartial <= n; j += kPartial) add(rows, j, j);
  if (j < n) {
    float buffers[kRows][kPartial] = {};
    const float* tails[kRows];
    SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
      memcpy(buffers[i], rows[i] + j, (n - j) * sizeof(float));
      tails[i] = buffers[i];
    }
    add(tails, 0, j);
  }
  SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
    SLUICE_UNROLL for (size_t i = 0; i < kRows; ++i) {
      float s[kPartial];
      SLUICE_UNROLL for (size_t v = 0; v < kPartialVecs; ++v) {
        hn::StoreU(sums[i][k][v], d, s + v * kPartialLanes);
      }
      const float sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
      float* out = factor + k * factor_stride + i;
      *out = first ? sum : *out + sum;
    }
  }
}

template <size_t kColumns>
HWY_INLINE void DotTile(const float* matrix, size_t rows, size_t cols, size_t n, const float* basis,
                        size_t basis_stride, bool first, float* factor, size_t factor_stride) {
  constexpr size_t kRows = kColumns > 2 ? 2 : kColumns > 1 ? 4 : 8;  // what registers hold
  size_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    DotBlock<kRows, kColumns>(matrix + i * cols, cols, n, basis, basis_stride, first, factor + i,
                              factor_stride);
  }
  for (; i < rows; ++i) {
    DotBlock<1, kColumns>(matrix + i * cols, cols, n, basis, basis_stride, first, factor + i,
                          factor_stride);
  }
}

void MultiplyByBasisHere(const float* matrix, size_t rows, size_t cols, const float* basis,
                         size_t basis_stride, size_t rank, float* factor, size_t factor_stride) {
  constexpr size_t kBand = 32;  // rows whose tile stays in the cache for all basis columns
  for (size_t begin = 0; begin < cols; begin += kDotTile) {
    const size_t n = cols - begin < kDotTile ? cols - begin : kDotTile;
    const bool first = begin == 0;
    for (size_t top = 0; top < rows; top += kBand) {
      const size_t count = rows - top < kBand ? rows - top : kBand;
      const float* band = matrix + top * cols + begin;
      size_t k = 0;
      const auto columns = [&] { return basis + k * basis_stride + begin; };
      const auto out = [&] { return factor + k * factor_stride + top; };
      for (; k + 4 <= rank; k += 4) {
        DotTile<4>(band, count, cols, n, columns(), basis_stride, first, out(), factor_stride);
      }
      if (rank - k >= 2) {
        DotTile<2>(band, count, cols, n, columns(), basis_stride, first, out(), factor_stride);
        k += 2;
      }
      if (rank - k == 1) {
        DotTile<1>(band, count, cols, n, columns(), basis_stride, first, out(), factor_stride);
      }
    }
  }
}

// ---- matrix^T * basis: sums of rows --------------------------------------------------------------
//
// An element of the factor is the sum, in order, over bands of kSumRows rows, and within a band over
// its rows in order: no vector is summed across, so the width does not matter.
constexpr size_t kSumRows = 8;
constexpr size_t kSumVecs = 2;    // a cache line of AVX2
constexpr size_t kSumTile = 512;  // columns of the factor that stay in a cache for all rows

// A band of `rows` rows times one block of the factor.
template <size_t kColumns, size_t kVecs>
HWY_INLINE void SumBlock(const float* matrix, size_t cols, size_t rows, const float* basis,
                         size_t basis_stride, bool first, float* factor, size_t factor_stride) {
  const FloatTag d;
  FloatVec sums[kColumns][kVecs];
  SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
    SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) sums[k][v] = hn::Zero(d);
  }
  // Not unrolled: that spills registers and halves the speed.
  for (size_t i = 0; i < rows; ++i) {
    FloatVec m[kVecs];
    SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) {
      m[v] = hn::LoadU(d, matrix + i * cols + v * kLanes);
    }
    SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
      const FloatVec b = hn::Set(d, basis[k * basis_stride + i]);
      SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) {
        sums[k][v] = hn::Add(sums[k][v], hn::Mul(m[v], b));
      }
    }
  }
  SLUICE_UNROLL for (size_t k = 0; k < kColumns; ++k) {
    SLUICE_UNROLL for (size_t v = 0; v < kVecs; ++v) {
      float* out = factor + k * factor_stride + v * kLanes;
      hn::StoreU(first ? sums[k][v] : hn::Add(hn::LoadU(d, out), sums[k][v]), d, out);
    }
  }
}

// All basis columns for one strip of kVecs vectors of matrix columns.
template <size_t kVecs>
HWY_INLINE void SumStrip(const float* matrix, size_t cols, size_t rows, const float* basis,
                         size_t basis_stride, size_t rank, bool first, float* factor,
                         size_t factor_stride) {
  size_t k = 0;
  for (; k + 4 <= rank; k += 4) {
    SumBlock<4, kVecs>(matrix, cols, rows, basis + k * basis_stride, basis_stride, first,
                       factor + k * factor_stride, factor_stride);
  }
  if (rank - k >= 2) {
    SumBlock<2, kVecs>(matrix, cols, rows, basis + k * basis_stride, basis_stride, first,
                       factor + k * factor_stride, factor_stride);
    k += 2;
  }
  if (rank - k == 1) {
    SumBlock<1, kVecs>(matrix, cols, rows, basis + k * basis_stride, basis_stride, first,
                       factor + k * factor_stride, factor_stride);
  }
}

HWY_INLINE void SumBand(const float* matrix, size_t rows, size_t cols, size_t n, const float* basis,
                        size_t basis_stride, size_t rank, bool first, float* factor,
                        size_t factor_stride) {
  constexpr size_t kStrip = kSumVecs * kLanes;
  size_t j = 0;
  for (; j + kStrip <= n; j += kStrip) {
    SumStrip<kSumVecs>(matrix + j, cols, rows, basis, basis_stride, rank, first, factor + j,
                       factor_stride);
  }
  for (; j + kLanes <= n; j += kLanes) {
    SumStrip<1>(matrix + j, cols, rows, basis, basis_stride, rank, first, factor + j,
                factor_stride);
  }
  if (j < n) {  // the last columns, as a matrix of one vector's width
    alignas(64) float buffer[kSumRows * kLanes] = {};
    for (size_t i = 0; i < rows; ++i) {
      memcpy(buffer + i * kLanes, matrix + i * cols + j, (n - j) * sizeof(float));
    }
    SumStrip<1>(buffer, kLanes, rows, basis, basis_stride, rank, first, factor + j, factor_stride);
  }
}

void MultiplyTransposedHere(const float* matrix, size_t rows, size_t cols, const float* basis,
                            size_t basis_stride, size_t rank, float* factor, size_t factor_stride) {
  for (size_t j = 0; j < cols; j += kSumTile) {
    const size_t n = cols - j < kSumTile ? cols - j : kSumTile;
    for (size_t i = 0; i < rows; i += kSumRows) {
      const size_t count = rows - i < kSumRows ? rows - i : kSumRows;
      SumBand(matrix + i * cols + j, count, cols, n, basis + i, basis_stride, rank, i == 0,
              factor + j, factor_stride);
    }
  }
}

const char* InstructionSetHere() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(MultiplyByBasisHere);
HWY_EXPORT(MultiplyTransposedHere);
HWY_EXPORT(InstructionSetHere);

void MultiplyByBasis(const float* matrix, size_t rows, size_t cols, const float* basis,
                     size_t basis_stride, size_t rank, float* factor, size_t factor_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyByBasisHere)
  (matrix, rows, cols, basis, basis_stride, rank, factor, factor_stride);
}

void MultiplyTransposed(const float* matrix, size_t rows, size_t cols, const float* basis,
                        size_t basis_stride, size_t rank, float* factor, size_t factor_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyTransposedHere)
  (matrix, rows, cols, basis, basis_stride, rank, factor, factor_stride);
}

const char* LowRankInstructionSet() { return HWY_DYNAMIC_DISPATCH(InstructionSetHere)(); }

}  // namespace sluice
#endif  // HWY_ONCE
