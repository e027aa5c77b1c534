#include "policies/solver/relaxation.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

__extension__ typedef __int128 Wide;

double Below(double x) { return std::nextafter(x, -std::numeric_limits<double>::infinity()); }

}  // namespace

std::vector<HullStep> StepsBySlope(const std::vector<Front>& fronts) {
  std::vector<HullStep> steps;
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    const Front& front = fronts[layer];
    const std::vector<int32_t> hull = LowerHull(front);
    for (size_t i = 1; i < hull.size(); ++i) {
      const FrontOption& from = front[hull[i - 1]];
      const FrontOption& to = front[hull[i]];
      steps.push_back(
          {static_cast<int32_t>(layer), hull[i], from.size - to.size, to.error - from.error});
    }
  }
  // Slopes strictly fall along a hull, so a stable sort keeps a layer's steps in order.
  std::stable_sort(steps.begin(), steps.end(), [](const HullStep& a, const HullStep& b) {
    return static_cast<Wide>(a.size_drop) * b.error_rise >
           static_cast<Wide>(b.size_drop) * a.error_rise;
  });
  return steps;
}

Relaxation::Relaxation(const std::vector<Front>& fronts, int64_t budget)
    : steps_(StepsBySlope(fronts)), budget_(budget), slack_(budget) {
  int64_t size = 0;
  for (const Front& front : fronts) {
    size += front.back().size;
    slack_ -= front.back().error;
  }
  while (critical_ < steps_.size() && steps_[critical_].error_rise <= slack_) {
    size -= steps_[critical_].size_drop;
    slack_ -= steps_[critical_].error_rise;
    ++critical_;
  }
  bound_ = size;
  value_ = static_cast<double>(size);
  if (static_cast<int64_t>(value_) != size) value_ = Below(value_);
  if (critical_ < steps_.size() && slack_ > 0) {
    const HullStep& step = steps_[critical_];
    bound_ -= static_cast<int64_t>(static_cast<Wide>(step.size_drop) * slack_ / step.error_rise);
    const double part = static_cast<double>(step.size_drop) *
                        (static_cast<double>(slack_) / static_cast<double>(step.error_rise));
    // Four roundings, each to nearest: step below all of them.
    const double margin = part * std::numeric_limits<double>::epsilon() * 4;
    value_ = std::max(0.0, Below(Below(value_ - part) - margin));
  }
}

std::vector<Front> Relaxation::Filter(const std::vector<Front>& fronts, int64_t threshold) const {
  // Lagrangian with multiplier drop / rise, scaled by rise so that it stays an integer. Sums of
  // sizes and of errors are below 2^62, so nothing here passes 2^126.
  Wide drop = 0, rise = 1;
  if (critical_ < steps_.size()) {
    drop = steps_[critical_].size_drop;
    rise = steps_[critical_].error_rise;
  }
  auto cost = [&](const FrontOption& option) { return option.size * rise + option.error * drop; };
  std::vector<Wide> least(fronts.size());
  Wide bound = -drop * budget_;
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    least[layer] = cost(fronts[layer][0]);
    for (const FrontOption& option : fronts[layer]) {
      least[layer] = std::min(least[layer], cost(option));
    }
    bound += least[layer];
  }
  const Wide allowance = threshold * rise - bound;
  std::vector<Front> kept(fronts.size());
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    for (const FrontOption& option : fronts[layer]) {
      if (cost(option) - least[layer] <= allowance) kept[layer].push_back(option);
    }
  }
  return kept;
}

std::vector<int32_t> Relaxation::RoundDown(const std::vector<Front>& fronts) const {
  std::vector<int32_t> at(fronts.size());
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    at[layer] = static_cast<int32_t>(fronts[layer].size()) - 1;
  }
  for (size_t i = 0; i < critical_; ++i) at[steps_[i].layer] = steps_[i].target;
  // Spend what is left on the best of the later steps, then on options off the hulls.
  int64_t slack = slack_;
  auto try_move = [&](int32_t layer, int32_t target) {
    const int64_t rise = fronts[layer][target].error - fronts[layer][at[layer]].error;
    if (target >= at[layer] || rise > slack) return;
    slack -= rise;
    at[layer] = target;
  };
  for (size_t i = critical_; i < steps_.size(); ++i) try_move(steps_[i].layer, steps_[i].target);
  for (size_t layer = 0; layer < fronts.size(); ++layer) {
    for (int32_t target = 0; target < at[layer]; ++target) {
      try_move(static_cast<int32_t>(layer), target);
    }
  }
  return at;
}

}  // namespace sluice
