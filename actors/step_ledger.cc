#include "actors/step_ledger.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

// "rank 0, 1, 3: 00000000000000ff; rank 2: 00000000000000fe"
template <class Value, class Format>
std::string GroupByValue(const std::vector<Value>& by_rank, Format format) {
  std::map<Value, std::vector<int>> groups;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) groups[by_rank[rank]].push_back(rank);
  std::vector<std::string> parts;
  for (const auto& [value, ranks] : groups) {
    parts.push_back(absl::StrCat("rank ", absl::StrJoin(ranks, ", "), ": ", format(value)));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace

StepLedger::StepLedger(int world_size) : world_size_(world_size) {}

void StepLedger::SetPrediction(uint32_t version, double bytes) { predictions_[version] = bytes; }

absl::StatusOr<std::vector<ClusterStep>> StepLedger::Add(Rank rank,
                                                         const proto::StepRecord& record) {
  if (rank.value < 0 || rank.value >= world_size_) {
    return absl::InvalidArgumentError(
        absl::StrCat("step report from ", ToString(rank), " in a world of ", world_size_));
  }
  if (record.step() < next_) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(rank), " reported step ", record.step(), " twice"));
  }
  Entry& entry = open_[record.step()];
  entry.by_rank.resize(world_size_);
  if (entry.by_rank[rank.value].has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(rank), " reported step ", record.step(), " twice"));
  }
  entry.by_rank[rank.value] = record;
  ++entry.received;
  newest_ = std::max(newest_, Step(record.step()));

  std::vector<ClusterStep> complete;
  while (!open_.empty() && open_.begin()->first == next_ &&
         open_.begin()->second.received == world_size_) {
    SLUICE_ASSIGN_OR_RETURN(ClusterStep step, Merge(Step(next_), open_.begin()->second));
    open_.erase(open_.begin());
    Complete(step);
    complete.push_back(step);
  }
  return complete;
}

void StepLedger::Complete(const ClusterStep& step) {
  next_ = step.step.value + 1;
  ++totals_.steps;
  totals_.step_seconds += step.step_seconds;
  totals_.exposed_seconds += step.exposed_seconds;
  totals_.communication_seconds += step.communication_seconds;
  totals_.sent_bytes += step.sent_bytes;
  totals_.predicted_bytes += step.predicted_bytes;
  totals_.checksums_compared += step.checksum_compared ? 1 : 0;
  if (step.skipped) {
    ++totals_.skipped_steps;
  } else {
    totals_.last_loss = step.loss;
  }
}

std::vector<ClusterStep> StepLedger::Regroup(int world_size, int64_t start_step) {
  std::vector<ClusterStep> complete;
  for (auto& [step, entry] : open_) {
    if (step >= start_step) break;
    // Survivors differed in nothing, or they would not be here: checksums and versions were theirs.
    auto merged = Merge(Step(step), entry);
    if (!merged.ok()) continue;
    Complete(*merged);
    complete.push_back(*merged);
  }
  open_.clear();
  next_ = start_step;
  newest_ = Step(start_step - 1);
  world_size_ = world_size;
  return complete;
}

absl::StatusOr<ClusterStep> StepLedger::Merge(Step step, const Entry& entry) const {
  ClusterStep merged;
  merged.step = step;
  std::vector<uint32_t> versions;
  std::vector<uint64_t> checksums;
  merged.missing_ranks = world_size_ - entry.received;
  const double share = static_cast<double>(world_size_) / entry.received;  // 1 when all are there
  std::vector<int> skipped;
  for (const auto& record : entry.by_rank) {
    if (!record.has_value()) continue;
    merged.loss += share * record->loss();
    merged.step_seconds = std::max(merged.step_seconds, record->step_seconds());
    merged.exposed_seconds += record->exposed_seconds() / entry.received;
    merged.communication_seconds += record->communication_seconds() / entry.received;
    merged.sent_bytes += static_cast<double>(record->sent_bytes()) / entry.received;
    versions.push_back(record->policy_version());
    skipped.push_back(record->skipped() ? 1 : 0);
    if (record->has_parameter_checksum()) checksums.push_back(record->parameter_checksum());
  }
  const auto differ = [](const auto& values) {
    return std::any_of(values.begin(), values.end(), [&](auto v) { return v != values.front(); });
  };
  if (differ(versions)) {
    return absl::InternalError(absl::StrCat(
        ToString(step), ": ranks used different compression policies: ",
        GroupByValue(versions, [](uint32_t v) { return absl::StrCat("version ", v); })));
  }
  if (differ(skipped)) {
    return absl::InternalError(absl::StrCat(
        ToString(step), ": not all ranks skipped it: ", GroupByValue(skipped, [](int s) {
          return s == 1 ? "skipped" : "applied";
        })));
  }
  merged.skipped = skipped.front() == 1;
  if (!checksums.empty()) {
    if (checksums.size() != static_cast<size_t>(entry.received)) {
      return absl::InternalError(absl::StrCat(ToString(step), ": only ", checksums.size(), " of ",
                                              entry.received, " ranks sent a parameter checksum"));
    }
    if (differ(checksums)) {
      return absl::DataLossError(absl::StrCat(
          "replicas differ after ", ToString(step), ": ",
          GroupByValue(checksums, [](uint64_t v) { return absl::StrFormat("%016x", v); }),
          ". The run's parameters cannot be trusted from here on; please report this"));
    }
    merged.checksum_compared = true;
  }
  merged.policy_version = versions.front();
  if (auto found = predictions_.find(merged.policy_version); found != predictions_.end()) {
    merged.predicted_bytes = found->second;
  }
  return merged;
}

}  // namespace sluice
