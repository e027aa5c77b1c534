#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "training/robust/weight_matrix.h"

namespace sluice {

/// Singular values of one layer, of the group with the largest kappa where there are several.
struct LayerSpectrum {
  std::string layer;
  int64_t rows = 0, cols = 0, groups = 1;
  double sparsity = 0;
  double sigma_max = 0;
  /// False: the matrix is too large (more than kLargestSpectrum singular values); sigma_max is a lower bound of 50
  /// steps of the power method, and what follows is unknown.
  bool complete = true;
  int64_t rank = 0;          ///< singular values above sigma_max * max(rows, cols) * 2^-52
  double sigma_min = 0;      ///< the r-th, r = min(rows, cols); 0 below the rank's threshold
  double kappa = 0;          ///< sigma_max / sigma_min, infinite below full rank
  double kappa_nonzero = 0;  ///< sigma_max / the smallest above the threshold; 0 of a zero matrix
  double kappa_compact = 0;  ///< kappa without rows and columns that are all 0
  double phi = 0;            ///< ConditionKind::kAmgm, delta = 1e-6
  /// Upper bound of the layer's Lipschitz constant in the Euclidean norm, of all groups, whatever the input's size and the
  /// convolution's stride and zero padding: sqrt(places) times the largest singular value, or where that is not known
  /// a bound of it, the least of the Frobenius norm and sqrt(largest row sum * largest column sum of magnitudes).
  double lipschitz = 0;
};

inline constexpr int64_t kLargestSpectrum = 1024;

/// From eigenvalues of the smaller Gram matrix; by a singular value decomposition where kappa is above 1e3.
/// \pre finite weights
LayerSpectrum SpectrumOf(const WeightMatrix& weight);

/// Mean over the complete ones of ln kappa, each at most ln 1e6; 0 of none.
double MeanLogKappa(absl::Span<const LayerSpectrum> spectra);

}  // namespace sluice
