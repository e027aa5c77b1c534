#include "training/robust/layer_spectrum.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "training/robust/condition_constraint.h"
#include "training/robust/magnitude_pruning.h"

namespace sluice {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kGramResolves = 1e3;                 // kappa of the Gram matrix is its square
constexpr double kMostLogKappa = 13.815510557964274;  // ln 1e6
constexpr int kPowerSteps = 50;

// Descending.
std::vector<double> SingularValues(const Matrix& w) {
  const bool wide = w.cols() > w.rows();
  const Eigen::MatrixXd gram = wide ? Matrix(w * w.transpose()) : Matrix(w.transpose() * w);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram, Eigen::EigenvaluesOnly);
  const auto& lambda = solver.eigenvalues();  // ascending
  const Eigen::Index last = lambda.size() - 1;
  std::vector<double> sigma;
  if (lambda[0] * kGramResolves * kGramResolves >= lambda[last]) {
    for (Eigen::Index i = last; i >= 0; --i) sigma.push_back(std::sqrt(std::max(0.0, lambda[i])));
    return sigma;
  }
  const Eigen::BDCSVD<Eigen::MatrixXd> svd(w);
  sigma.assign(svd.singularValues().data(), svd.singularValues().data() + last + 1);
  return sigma;
}

double RankThreshold(const Matrix& w, double sigma_max) {
  return sigma_max * static_cast<double>(std::max(w.rows(), w.cols())) * std::ldexp(1.0, -52);
}

int64_t RankOf(const Matrix& w, const std::vector<double>& sigma) {
  const double threshold = RankThreshold(w, sigma.front());
  return std::count_if(sigma.begin(), sigma.end(), [&](double s) { return s > threshold; });
}

double Kappa(const Matrix& w) {
  if (w.size() == 0) return kInfinity;
  const std::vector<double> sigma = SingularValues(w);
  return RankOf(w, sigma) == static_cast<int64_t>(sigma.size()) ? sigma.front() / sigma.back()
                                                                : kInfinity;
}

// Without rows and columns that are all 0.
Matrix Compact(const Matrix& w) {
  std::vector<Eigen::Index> rows, cols;
  for (Eigen::Index i = 0; i < w.rows(); ++i) {
    if ((w.row(i).array() != 0).any()) rows.push_back(i);
  }
  for (Eigen::Index j = 0; j < w.cols(); ++j) {
    if ((w.col(j).array() != 0).any()) cols.push_back(j);
  }
  Matrix compact(rows.size(), cols.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < cols.size(); ++j) compact(i, j) = w(rows[i], cols[j]);
  }
  return compact;
}

// From below.
double PowerMethod(const Matrix& w) {
  Eigen::VectorXd v = Eigen::VectorXd::Ones(w.cols());
  // A start that no row of a usual matrix is orthogonal to.
  for (Eigen::Index i = 0; i < v.size(); ++i) v[i] += std::sin(static_cast<double>(i));
  double sigma = 0;
  for (int step = 0; step < kPowerSteps; ++step) {
    v.normalize();
    const Eigen::VectorXd u = w * v;
    sigma = u.norm();
    if (sigma == 0) return 0;
    v = w.transpose() * u;
  }
  return sigma;
}

// Of the largest singular value.
double UpperBound(const Matrix& w) {
  const double rows = w.cwiseAbs().rowwise().sum().maxCoeff();
  const double cols = w.cwiseAbs().colwise().sum().maxCoeff();
  return std::min(w.norm(), std::sqrt(rows * cols));
}

void Measure(const Matrix& w, LayerSpectrum& spectrum) {
  const std::vector<double> sigma = SingularValues(w);
  const auto r = static_cast<int64_t>(sigma.size());
  spectrum.rank = RankOf(w, sigma);
  spectrum.sigma_max = sigma.front();
  spectrum.sigma_min = spectrum.rank == r ? sigma.back() : 0;
  spectrum.kappa = spectrum.rank == r ? sigma.front() / sigma.back() : kInfinity;
  spectrum.kappa_nonzero =
      spectrum.rank > 0 ? sigma.front() / sigma[static_cast<size_t>(spectrum.rank - 1)] : 0;
  const Matrix compact = Compact(w);
  spectrum.kappa_compact = compact.size() == w.size() ? spectrum.kappa : Kappa(compact);
  spectrum.phi = ConditionConstraint(ConditionKind::kAmgm, 1e-6, w).value;
}

}  // namespace

LayerSpectrum SpectrumOf(const WeightMatrix& weight) {
  LayerSpectrum worst;
  double largest = 0;  // singular value of all groups, or its bound
  for (int64_t g = 0; g < weight.groups; ++g) {
    LayerSpectrum one;
    one.complete = weight.rank_limit() <= kLargestSpectrum;
    if (one.complete) {
      Measure(weight.Group(g), one);
      largest = std::max(largest, one.sigma_max);
    } else {
      one.sigma_max = PowerMethod(weight.Group(g));
      largest = std::max(largest, UpperBound(weight.Group(g)));
    }
    const bool worse = one.complete ? one.kappa > worst.kappa : one.sigma_max > worst.sigma_max;
    if (g == 0 || worse) worst = one;
  }
  worst.layer = weight.name;
  worst.rows = weight.rows;
  worst.cols = weight.cols;
  worst.groups = weight.groups;
  worst.sparsity = SparsityOf(weight.values);
  worst.lipschitz = std::sqrt(static_cast<double>(weight.places)) * largest;
  return worst;
}

double MeanLogKappa(absl::Span<const LayerSpectrum> spectra) {
  double sum = 0, count = 0;
  for (const LayerSpectrum& spectrum : spectra) {
    if (!spectrum.complete) continue;
    sum += std::min(std::log(spectrum.kappa), kMostLogKappa);
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

}  // namespace sluice
