#include "actors/checkpoint_ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {

void CheckpointLedger::Begin(int64_t generation, int world_size) {
  generation_ = generation;
  world_size_ = world_size;
  open_.clear();
  last_part_.clear();
  newest_settled_ = -1;
}

std::vector<CheckpointResult> CheckpointLedger::End(const std::string& why) {
  std::vector<CheckpointResult> dropped;
  while (!open_.empty()) {
    const auto& [step, entry] = *open_.begin();
    dropped.push_back(
        Drop(step, entry.committing ? absl::StrCat(why, "; rank 0 may have finished it") : why));
  }
  generation_ = -1;
  return dropped;
}

CheckpointResult CheckpointLedger::Drop(int64_t step, const std::string& why) {
  CheckpointResult result;
  result.step = Step(step);
  result.error = why;
  open_.erase(step);
  newest_settled_ = std::max(newest_settled_, step);
  return result;
}

CheckpointLedger::Progress CheckpointLedger::OnPart(const proto::CheckpointPart& part) {
  Progress progress;
  if (part.envelope().generation() != generation_ || part.rank() < 0 ||
      part.rank() >= world_size_) {
    return progress;
  }
  const auto last = last_part_.find(part.rank());
  if (last != last_part_.end() && part.step() <= last->second) return progress;  // a repetition
  last_part_[part.rank()] = part.step();

  // What this rank passed over will never be complete.
  for (auto it = open_.begin(); it != open_.end() && it->first < part.step();) {
    const int64_t step = it->first;
    const bool missing = it->second.parts.count(part.rank()) == 0;
    ++it;
    if (missing) {
      progress.dropped.push_back(Drop(step, absl::StrCat("rank ", part.rank(), " passed over it")));
    }
  }
  if (part.step() <= newest_settled_) return progress;  // of one that was dropped
  if (!part.error().empty()) {
    progress.dropped.push_back(
        Drop(part.step(), absl::StrCat("rank ", part.rank(), ": ", part.error())));
    return progress;
  }
  Entry& entry = open_[part.step()];
  entry.parts[part.rank()] = part;
  if (static_cast<int>(entry.parts.size()) < world_size_) return progress;
  entry.committing = true;
  progress.commit.emplace();
  progress.commit->set_step(part.step());
  for (const auto& [rank, of_rank] : entry.parts) {
    for (const proto::CheckpointFile& file : of_rank.files()) *progress.commit->add_files() = file;
  }
  return progress;
}

std::optional<CheckpointResult> CheckpointLedger::OnDone(const proto::CheckpointDone& done) {
  const auto entry = open_.find(done.step());
  if (done.envelope().generation() != generation_ || entry == open_.end() ||
      !entry->second.committing) {
    return std::nullopt;
  }
  CheckpointResult result = Drop(done.step(), done.error());
  result.path = done.path();
  result.bytes = done.bytes();
  result.seconds = done.seconds();
  return result;
}

}  // namespace sluice
