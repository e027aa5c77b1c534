#include "training/phases/otov3/half_space.h"

#include <algorithm>
#include <cmath>

namespace sluice::otov3 {
namespace {

constexpr double kTiny = 1e-8;  // of a norm, as in the source

}  // namespace

HalfSpaceRule RuleFor(absl::string_view optimizer) {
  HalfSpaceRule rule;
  if (optimizer != "sgd") {
    rule.penalty = 1e-2;
    rule.amplify = 20;
    rule.ceiling = 1000;
  }
  return rule;
}

double PenaltyOf(const GroupSums& sums, const HalfSpaceRule& rule) {
  if (sums.xd >= 0 || sums.xx == 0) return rule.penalty;
  const double norm = std::sqrt(sums.xx);
  const double low = -sums.xd / norm;
  const double high = -sums.dd * norm / sums.xd;
  const double penalty = std::clamp(rule.amplify * low, rule.penalty, rule.penalty * rule.ceiling);
  return penalty >= high ? (low + high) / 2 : penalty;
}

HalfSpaceMove MoveOf(const GroupSums& sums, const HalfSpaceRule& rule, double learning_rate,
                     bool may_project) {
  HalfSpaceMove move;
  move.shrink = learning_rate * PenaltyOf(sums, rule) / (std::sqrt(sums.xx) + kTiny);
  const double along = sums.xx - learning_rate * sums.xd - move.shrink * sums.xx;  // <trial, x>
  move.project = may_project && along < rule.epsilon * sums.xx;
  return move;
}

}  // namespace sluice::otov3
