#include "training/phases/otov3/scores.h"

#include <cmath>
#include <cstddef>
#include <numeric>

#include "base/check.h"

namespace sluice::otov3 {
namespace {

constexpr double kTiny = 1e-6;  // keeps the inverse of a mean magnitude finite, as in the sources
constexpr double kKeptForZeros = 1e9;  // above any score, weighted or not

double Cosine(const GroupSums& sums) {
  const double norms = std::sqrt(sums.xx) * std::sqrt(sums.dd);
  return norms > 0 ? sums.xd / norms : 0;
}

// total += weight * terms / |terms|
void AddNormalised(absl::Span<const double> terms, double weight, std::vector<double>& total) {
  const double norm = std::sqrt(std::inner_product(terms.begin(), terms.end(), terms.begin(), 0.0));
  if (norm == 0) return;
  for (size_t g = 0; g < total.size(); ++g) total[g] += weight * terms[g] / norm;
}

// The terms of groups that are not zero; those of others are 0 and count for no norm.
template <class Term>
void AddTerm(absl::Span<const GroupSums> sums, double weight, const Term& term,
             std::vector<double>& total) {
  std::vector<double> terms(sums.size(), 0);
  for (size_t g = 0; g < sums.size(); ++g) {
    if (sums[g].xx != 0) terms[g] = term(g);
  }
  AddNormalised(terms, weight, total);
}

}  // namespace

void PutZerosFirst(absl::Span<const GroupSums> sums, std::vector<double>& scores) {
  for (size_t g = 0; g < sums.size(); ++g) {
    if (sums[g].xx == 0) scores[g] = kKeptForZeros;
  }
}

std::vector<double> DhspgScores(absl::Span<const GroupSums> sums,
                                absl::Span<const int64_t> elements) {
  SLUICE_CHECK(sums.size() == elements.size(), "one of each per group");
  std::vector<double> scores(sums.size(), 0);
  AddTerm(
      sums, 0.5, [&](size_t g) { return Cosine(sums[g]); }, scores);
  AddTerm(
      sums, 0.5,
      [&](size_t g) {
        return 1 / (std::sqrt(sums[g].xx) / static_cast<double>(elements[g]) + kTiny);
      },
      scores);
  return scores;
}

std::vector<double> HessoScores(absl::Span<const GroupSums> sums,
                                absl::Span<const int64_t> elements) {
  SLUICE_CHECK(sums.size() == elements.size(), "one of each per group");
  std::vector<double> scores(sums.size(), 0);
  const auto add = [&](const auto& term) { AddTerm(sums, -0.2, term, scores); };
  add([&](size_t g) { return std::sqrt(sums[g].xx); });
  add([&](size_t g) { return std::sqrt(sums[g].xx) / static_cast<double>(elements[g]); });
  add([&](size_t g) { return Cosine(sums[g]) + 1; });
  add([&](size_t g) { return std::abs(sums[g].xd); });
  add([&](size_t g) { return sums[g].xd * sums[g].xd / 2; });
  return scores;
}

void AddToAverage(absl::Span<const double> scores, double keep, std::vector<double>& average) {
  if (average.empty()) {
    average.assign(scores.begin(), scores.end());
    return;
  }
  SLUICE_CHECK(average.size() == scores.size(), "the same groups every time");
  for (size_t g = 0; g < scores.size(); ++g) {
    average[g] = keep * average[g] + (1 - keep) * scores[g];
  }
}

void WeighByCost(absl::Span<const double> macs, double kappa, std::vector<double>& scores) {
  SLUICE_CHECK(macs.size() == scores.size(), "one of each per group");
  const double mean =
      std::accumulate(macs.begin(), macs.end(), 0.0) / static_cast<double>(macs.size());
  if (kappa == 0 || mean == 0) return;
  for (size_t g = 0; g < scores.size(); ++g) {
    if (macs[g] == 0) continue;
    const double weight = std::pow(macs[g] / mean, kappa);
    scores[g] = scores[g] > 0 ? scores[g] * weight : scores[g] / weight;
  }
}

}  // namespace sluice::otov3
