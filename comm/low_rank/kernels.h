#pragma once

#include <cstddef>

/// The loops over elements, compiled for several instruction sets and chosen at run time. All give
/// the same bits on every instruction set: no fused multiply-add, no order of summation that depends
/// on the vector width. Matrices are row-major rows x cols; column k of a factor starts at k * stride.
namespace sluice {

// factor_kernels.cc

/// factor = matrix * basis: rows x rank = (rows x cols) (cols x rank).
/// \pre basis columns are followed by zeros up to a multiple of 16 floats, as those of a Factor
void MultiplyByBasis(const float* matrix, size_t rows, size_t cols, const float* basis,
                     size_t basis_stride, size_t rank, float* factor, size_t factor_stride);

/// factor = matrix^T * basis: cols x rank = (cols x rows) (rows x rank).
/// \pre factor_stride leaves room for a multiple of 16 floats, as that of a Factor
void MultiplyTransposed(const float* matrix, size_t rows, size_t cols, const float* basis,
                        size_t basis_stride, size_t rank, float* factor, size_t factor_stride);

// product_kernels.cc

/// A product of factors: left (rows x rank) times the transpose of right (cols x rank).
struct FactorProduct {
  const float* left;
  size_t left_stride;
  const float* right;  ///< columns are followed by readable floats up to a multiple of 16
  size_t right_stride;
};

/// residual = matrix - sent, matrix = result, in one pass, of two products with the same right factor.
void ReplaceWithLeftProduct(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                            float* matrix, size_t rows, size_t cols, float* residual);
/// The same of two products with the same left factor.
void ReplaceWithRightProduct(const FactorProduct& result, const FactorProduct& sent, size_t rank,
                             float* matrix, size_t rows, size_t cols, float* residual);

/// matrix = result.
void WriteProduct(const FactorProduct& result, size_t rank, float* matrix, size_t rows,
                  size_t cols);

// projection_kernels.cc: vectors of n floats, followed by zeros up to a multiple of 16; double
// precision inside

/// dots[k] = <column k of basis, v> for k < count.
void ColumnDots(const float* basis, size_t stride, size_t count, const float* v, size_t n,
                double* dots);
/// v -= sum over k < count of dots[k] * column k of basis, rounded once.
void SubtractColumns(const float* basis, size_t stride, size_t count, const double* dots, float* v,
                     size_t n);
/// v *= factor.
void Scale(double factor, float* v, size_t n);

const char* LowRankInstructionSet();

}  // namespace sluice
