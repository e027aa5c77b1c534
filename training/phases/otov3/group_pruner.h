#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "training/phases/otov3/decision_log.h"
#include "training/phases/otov3/group_view.h"
#include "training/phases/otov3/prune_settings.h"
#include "training/phases/otov3/prune_space.h"

namespace sluice::otov3 {

/// Drives a network's redundant groups to exactly zero around the optimiser's steps, and keeps them there.
///
///     step      0 ...... partition ............ shrink ............ deadline ........
///     dhspg     score    penalty, projection    linear shrink       they stay zero
///     hesso     score    linear shrink, in periods                  they stay zero
///
/// At `partition` the scores divide the groups; from then on the redundant ones take the half-space step (half_space.h),
/// and in a linear shrink are multiplied by (r - 1) / r with r steps left, after the optimiser's step. Hesso chooses
/// as many groups per period, in the order of scores by then. Where a step is passed over, what it was to do is done by
/// the next one, so at the deadline exactly the groups that Partition gave, or where whole operators are erased
/// SelectValid, are zero.
///
/// All it does is a function of the groups, the settings and the values that it sees, so replicas agree; the log's
/// digest proves it. Memory: a copy of the groups' values. Cost of a step: a pass over what is scored or moves.
/// \threadsafety step loop
class GroupPruner {
 public:
  /// \param parameters  in the order of all FloatSpans below
  /// \param steps       of the phase, `first` is the first of
  /// \error as GroupView::Create and MakeTimeline; kInvalidArgument: a prefix in `keep` that no parameter has, or
  ///        that leaves no group
  static absl::StatusOr<GroupPruner> Create(const PruneSettings& settings, PruneSpace space,
                                            absl::Span<const ParameterInfo> parameters, Step first,
                                            int64_t steps);

  /// Right before the optimiser steps on the values.
  void BeforeOptimizer(FloatSpans values);

  /// Right after it.
  /// \param learning_rate  of the step
  /// \return runs of the groups that became zero: what others keep of them (moments, averages, residuals) must
  ///         become zero too
  /// \error kOutOfRange  a score is not finite: training diverged
  absl::StatusOr<std::vector<ElementRun>> AfterOptimizer(Step step, double learning_rate,
                                                         FloatSpans values);

  const GroupView& view() const { return view_; }
  const DecisionLog& log() const { return log_; }
  const Timeline& timeline() const { return timeline_; }
  /// By number of the group.
  const std::vector<bool>& redundant() const { return redundant_; }
  const std::vector<bool>& zero() const { return zero_; }
  int requested() const { return RequestedGroups(view_.size(), settings_.rules.target); }
  /// Whether all groups have been chosen that are to become zero.
  bool divided() const { return !scoring(); }
  int zeros() const;

  /// What it knows beside the values: log and scores.
  std::string SaveState() const;
  /// Takes over what SaveState gave, of the same groups.
  /// \error kDataLoss            no such state
  /// \error kFailedPrecondition  of other groups. After either nothing was changed
  absl::Status LoadState(absl::string_view bytes);

 private:
  GroupPruner(const PruneSettings& settings, GroupView view,
              std::function<bool(const std::vector<int32_t>&)> valid, const Timeline& timeline,
              Step first);

  int periods() const { return settings_.variant == Variant::kHesso ? settings_.periods : 1; }
  // Of a step of the phase, at most the last.
  int PeriodAt(int64_t t) const;
  bool scoring() const { return next_period_ < periods(); }
  bool moving(int g) const {
    return redundant_[static_cast<size_t>(g)] && !zero_[static_cast<size_t>(g)];
  }
  void Score(double learning_rate, FloatSpans values);
  // All groups that are to go by the scores until now, those that are redundant already among them.
  absl::StatusOr<std::vector<bool>> Select(FloatSpans values) const;
  absl::Status Divide(Step step, FloatSpans values);
  void BeginShrink(Step step);
  // \return whether the group is zero now
  bool Move(int g, int64_t t, double learning_rate, FloatSpans values) const;
  void Decide(Decision decision);
  void Follow(const Decision& decision);

  PruneSettings settings_;
  GroupView view_;
  std::optional<GroupView> kept_;  // what `keep` leaves out, if anything
  std::function<bool(const std::vector<int32_t>&)> valid_;  // as in PruneSpace
  Timeline timeline_;
  Step first_;
  std::vector<int64_t> elements_;  // by group
  std::vector<double> macs_;
  DecisionLog log_;
  std::vector<double> scores_;  // averages; empty before the first
  std::vector<float> copy_;     // of the values before the optimiser's step

  // What the log says, by group.
  std::vector<bool> redundant_;
  std::vector<bool> zero_;
  std::vector<bool> shrinking_;
  std::vector<int64_t> shrink_end_;  // step of the phase by which it has shrunk to zero
  int next_period_ = 0;              // in which groups are chosen
};

}  // namespace sluice::otov3
