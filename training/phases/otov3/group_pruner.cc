#include "training/phases/otov3/group_pruner.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "training/phases/otov3/half_space.h"
#include "training/phases/otov3/partition.h"
#include "training/phases/otov3/scores.h"

namespace sluice::otov3 {
namespace {

int Count(const std::vector<bool>& set) {
  return static_cast<int>(std::count(set.begin(), set.end(), true));
}

bool HasPrefix(const graph::Group& group, absl::string_view prefix) {
  return std::any_of(group.slices.begin(), group.slices.end(), [&](const graph::Slice& slice) {
    return absl::StartsWith(slice.state, prefix);
  });
}

// Takes the groups out that are to stay whole. \return them
absl::StatusOr<std::vector<graph::Group>> LeaveOut(const std::vector<std::string>& keep,
                                                   absl::Span<const ParameterInfo> parameters,
                                                   std::vector<graph::Group>& groups) {
  for (const std::string& prefix : keep) {
    const bool known =
        std::any_of(parameters.begin(), parameters.end(), [&](const ParameterInfo& parameter) {
          return absl::StartsWith(parameter.name, prefix);
        });
    if (known) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("otov3.keep: no parameter has a name that starts with \"", prefix, "\""));
  }
  const auto kept = std::stable_partition(
      groups.begin(), groups.end(), [&](const graph::Group& group) {
        return std::none_of(keep.begin(), keep.end(), [&](const std::string& prefix) {
          return HasPrefix(group, prefix);
        });
      });
  std::vector<graph::Group> left_out(kept, groups.end());
  groups.erase(kept, groups.end());
  if (groups.empty()) {
    return absl::InvalidArgumentError("otov3.keep: leaves nothing that may go");
  }
  return left_out;
}

}  // namespace

absl::StatusOr<GroupPruner> GroupPruner::Create(const PruneSettings& settings, PruneSpace space,
                                                absl::Span<const ParameterInfo> parameters,
                                                Step first, int64_t steps) {
  SLUICE_ASSIGN_OR_RETURN(const Timeline timeline, MakeTimeline(settings, steps));
  SLUICE_ASSIGN_OR_RETURN(std::vector<graph::Group> left_out,
                          LeaveOut(settings.keep, parameters, space.groups));
  SLUICE_ASSIGN_OR_RETURN(GroupView view, GroupView::Create(std::move(space.groups), parameters));
  GroupPruner pruner(settings, std::move(view), std::move(space.valid), timeline, first);
  if (!left_out.empty()) {
    SLUICE_ASSIGN_OR_RETURN(pruner.kept_, GroupView::Create(std::move(left_out), parameters));
  }
  return pruner;
}

GroupPruner::GroupPruner(const PruneSettings& settings, GroupView view,
                         std::function<bool(const std::vector<int32_t>&)> valid,
                         const Timeline& timeline, Step first)
    : settings_(settings),
      view_(std::move(view)),
      valid_(std::move(valid)),
      timeline_(timeline),
      first_(first),
      log_(view_.classes(), DigestOf(view_)),
      copy_(static_cast<size_t>(view_.copied_elements())),
      redundant_(static_cast<size_t>(view_.size()), false),
      zero_(redundant_),
      shrinking_(redundant_),
      shrink_end_(redundant_.size(), 0) {
  for (int g = 0; g < view_.size(); ++g) {
    elements_.push_back(view_.elements(g));
    macs_.push_back(static_cast<double>(view_.group(g).macs));
  }
}

int GroupPruner::zeros() const { return Count(zero_); }

void GroupPruner::BeforeOptimizer(FloatSpans values) {
  for (int g = 0; g < view_.size(); ++g) {
    const bool compares = moving(g) && !shrinking_[static_cast<size_t>(g)];
    if (scoring() || compares) view_.Gather(g, values, absl::MakeSpan(copy_));
  }
}

absl::StatusOr<std::vector<ElementRun>> GroupPruner::AfterOptimizer(Step step, double learning_rate,
                                                                    FloatSpans values) {
  const int64_t t = step.value - first_.value;
  for (int g = 0; g < view_.size(); ++g) {
    if (zero_[static_cast<size_t>(g)]) view_.Zero(g, values);
  }
  if (scoring()) Score(learning_rate, values);
  if (scoring() && t >= timeline_.PeriodBegin(next_period_, periods())) {
    SLUICE_RETURN_IF_ERROR(Divide(step, values));
  }
  if (settings_.variant == Variant::kDhspg && t >= timeline_.shrink) BeginShrink(step);

  std::vector<ElementRun> zeroed;
  std::vector<bool> now_zero(zero_.size(), false);
  for (int g = 0; g < view_.size(); ++g) {
    if (!moving(g) || !Move(g, t, learning_rate, values)) continue;
    view_.Zero(g, values);
    now_zero[static_cast<size_t>(g)] = true;
    const std::vector<ElementRun> runs = view_.RunsOf(g);
    zeroed.insert(zeroed.end(), runs.begin(), runs.end());
  }
  if (!zeroed.empty()) Decide({step.value, DecisionKind::kZero, std::move(now_zero)});
  return zeroed;
}

int GroupPruner::PeriodAt(int64_t t) const {
  int period = 0;
  while (period + 1 < periods() && timeline_.PeriodBegin(period + 1, periods()) <= t) ++period;
  return period;
}

void GroupPruner::Score(double learning_rate, FloatSpans values) {
  std::vector<GroupSums> sums;
  for (int g = 0; g < view_.size(); ++g) {
    sums.push_back(view_.Sums(g, copy_, values, learning_rate));
  }
  std::vector<double> scores =
      settings_.hesso_scores ? HessoScores(sums, elements_) : DhspgScores(sums, elements_);
  WeighByCost(macs_, settings_.cost_weight, scores);
  PutZerosFirst(sums, scores);
  AddToAverage(scores, settings_.score_average, scores_);
}

absl::StatusOr<std::vector<bool>> GroupPruner::Select(FloatSpans values) const {
  if (settings_.mode == Mode::kPrune) {
    return Partition(scores_, view_.classes(), settings_.rules, redundant_);
  }
  // Gone with an earlier phase, and not to be chosen in this one.
  std::vector<int32_t> gone;
  for (int g = 0; kept_.has_value() && g < kept_->size(); ++g) {
    if (kept_->IsZero(g, values)) gone.push_back(kept_->group(g).class_id);
  }
  return SelectValid(scores_, requested(), redundant_, [&](const std::vector<bool>& removed) {
    if (valid_ == nullptr) return true;
    std::vector<int32_t> class_ids = gone;
    for (int g = 0; g < view_.size(); ++g) {
      if (removed[static_cast<size_t>(g)]) class_ids.push_back(view_.group(g).class_id);
    }
    std::sort(class_ids.begin(), class_ids.end());
    return valid_(class_ids);
  });
}

// Of all that goes, the groups of this period: those with the highest scores by now.
absl::Status GroupPruner::Divide(Step step, FloatSpans values) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<bool> all, Select(values));
  std::vector<size_t> candidates;
  for (size_t g = 0; g < all.size(); ++g) {
    if (all[g] && !redundant_[g]) candidates.push_back(g);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](size_t a, size_t b) { return scores_[a] > scores_[b]; });
  const int by_now = Count(all) * (PeriodAt(step.value - first_.value) + 1) / periods();
  const auto take = static_cast<size_t>(std::max(by_now - Count(redundant_), 0));
  Decision decision{step.value, DecisionKind::kRedundant, std::vector<bool>(all.size(), false)};
  for (size_t i = 0; i < std::min(take, candidates.size()); ++i) {
    decision.groups[candidates[i]] = true;
  }
  Decide(std::move(decision));
  return absl::OkStatus();
}

// Once: afterwards there are none that do not.
void GroupPruner::BeginShrink(Step step) {
  Decision decision{step.value, DecisionKind::kShrink, std::vector<bool>(zero_.size(), false)};
  for (int g = 0; g < view_.size(); ++g) {
    const auto i = static_cast<size_t>(g);
    decision.groups[i] = moving(g) && !shrinking_[i];
  }
  if (Count(decision.groups) > 0) Decide(std::move(decision));
}

bool GroupPruner::Move(int g, int64_t t, double learning_rate, FloatSpans values) const {
  const auto i = static_cast<size_t>(g);
  if (shrinking_[i]) {
    const int64_t left = shrink_end_[i] - t;
    if (left <= 1) return true;
    view_.Scale(g, static_cast<double>(left - 1) / static_cast<double>(left), values);
    return false;
  }
  const GroupSums sums = view_.Sums(g, copy_, values, learning_rate);
  if (sums.xx == 0) return true;
  const HalfSpaceMove move =
      MoveOf(sums, settings_.half_space, learning_rate, t >= timeline_.projection);
  if (!move.project) view_.Subtract(g, move.shrink, copy_, values);
  return move.project;
}

void GroupPruner::Decide(Decision decision) {
  Follow(decision);
  log_.Append(std::move(decision));
}

void GroupPruner::Follow(const Decision& decision) {
  const int period = PeriodAt(decision.step - first_.value);
  if (decision.kind == DecisionKind::kRedundant) next_period_ = period + 1;
  for (size_t g = 0; g < decision.groups.size(); ++g) {
    if (!decision.groups[g]) continue;
    switch (decision.kind) {
      case DecisionKind::kRedundant:
        redundant_[g] = true;
        shrinking_[g] = settings_.variant == Variant::kHesso;
        shrink_end_[g] = timeline_.PeriodBegin(period + 1, periods());
        break;
      case DecisionKind::kZero:
        zero_[g] = true;
        break;
      case DecisionKind::kShrink:
        shrinking_[g] = true;
        break;
    }
  }
}

std::string GroupPruner::SaveState() const {
  return absl::StrCat(log_.Write(), absl::string_view(reinterpret_cast<const char*>(scores_.data()),
                                                      scores_.size() * sizeof(double)));
}

absl::Status GroupPruner::LoadState(absl::string_view bytes) {
  DecisionLog log(view_.classes(), DigestOf(view_));
  SLUICE_RETURN_IF_ERROR(log.Read(bytes));
  const size_t expected = static_cast<size_t>(view_.size()) * sizeof(double);
  if (!bytes.empty() && bytes.size() != expected) {
    return absl::DataLossError(absl::StrCat("the groups' scores have ", bytes.size(),
                                            " bytes, expected none or ", expected));
  }
  scores_.resize(bytes.size() / sizeof(double));
  if (!scores_.empty()) std::memcpy(scores_.data(), bytes.data(), bytes.size());
  redundant_.assign(redundant_.size(), false);
  zero_ = shrinking_ = redundant_;
  next_period_ = 0;
  for (const Decision& decision : log.decisions()) Follow(decision);
  log_ = std::move(log);
  return absl::OkStatus();
}

}  // namespace sluice::otov3
