#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "policies/solver/relaxation.h"

namespace sluice {

/// The relaxation of the layers not yet decided, as a piecewise-linear function of the error they
/// may make. Starts with all layers and shrinks as layers are decided.
///
/// The steps form a list in slope order with a cursor whose sums are known, so asking for amounts
/// of error that grow or fall slowly costs O(1) each. Exact: no divisions, no floating point.
class SuffixBound {
 public:
  explicit SuffixBound(const std::vector<Front>& fronts)
      : steps_(StepsBySlope(fronts)), steps_of_(fronts.size()), least_(fronts.size()) {
    const int32_t end = static_cast<int32_t>(steps_.size());
    // The sentinel's error never fits, which stops the cursor.
    steps_.push_back({0, 0, 0, std::numeric_limits<int64_t>::max()});
    next_.resize(end + 1);
    previous_.resize(end + 1);
    for (int32_t i = 0; i <= end; ++i) {
      next_[i] = i + 1;
      previous_[i] = i - 1;
      if (i < end) steps_of_[steps_[i].layer].push_back(i);
    }
    for (size_t layer = 0; layer < fronts.size(); ++layer) {
      least_[layer] = fronts[layer].back();
      base_size_ += least_[layer].size;
      base_error_ += least_[layer].error;
    }
  }

  /// Takes a decided layer out. \pre not taken out before
  void Remove(int32_t layer) {
    for (int32_t i : steps_of_[layer]) {
      if (i < cursor_) {
        drop_before_ -= steps_[i].size_drop;
        rise_before_ -= steps_[i].error_rise;
      } else if (i == cursor_) {
        cursor_ = next_[i];
      }
      if (previous_[i] >= 0) next_[previous_[i]] = next_[i];
      previous_[next_[i]] = previous_[i];
    }
    base_size_ -= least_[layer].size;
    base_error_ -= least_[layer].error;
  }

  /// Least error that the remaining layers can make.
  int64_t base_error() const { return base_error_; }

  /// Whether the remaining layers may, by the relaxation, need at most `size` when they make at
  /// most base_error() + `slack` error. \pre slack >= 0
  bool MayFit(int64_t size, int64_t slack) {
    Seek(slack);
    const int64_t missing = base_size_ - drop_before_ - size;
    if (missing <= 0) return true;
    const HullStep& step = steps_[cursor_];
    return static_cast<Wide>(step.size_drop) * (slack - rise_before_) >=
           static_cast<Wide>(missing) * step.error_rise;
  }

  /// The relaxation's value at that error, rounded up.
  int64_t Bound(int64_t slack) {
    Seek(slack);
    const HullStep& step = steps_[cursor_];
    return base_size_ - drop_before_ -
           static_cast<int64_t>(static_cast<Wide>(step.size_drop) * (slack - rise_before_) /
                                step.error_rise);
  }

  /// Steps that the cursor has walked so far.
  int64_t walked() const { return walked_; }

 private:
  __extension__ typedef __int128 Wide;

  void Seek(int64_t slack) {
    while (rise_before_ > slack) {
      cursor_ = previous_[cursor_];
      drop_before_ -= steps_[cursor_].size_drop;
      rise_before_ -= steps_[cursor_].error_rise;
      ++walked_;
    }
    while (steps_[cursor_].error_rise <= slack - rise_before_) {
      drop_before_ += steps_[cursor_].size_drop;
      rise_before_ += steps_[cursor_].error_rise;
      cursor_ = next_[cursor_];
      ++walked_;
    }
  }

  std::vector<HullStep> steps_;  // by slope; the last one is the sentinel
  std::vector<int32_t> next_, previous_;
  std::vector<std::vector<int32_t>> steps_of_;  // by layer
  std::vector<FrontOption> least_;
  int64_t base_size_ = 0, base_error_ = 0;  // of the remaining layers at their least error
  int32_t cursor_ = 0;                      // a remaining step; the sums are over those before it
  int64_t drop_before_ = 0, rise_before_ = 0;
  int64_t walked_ = 0;
};

}  // namespace sluice
