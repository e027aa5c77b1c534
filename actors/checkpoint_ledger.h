#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "proto/control.pb.h"

namespace sluice {

/// What became of one checkpoint.
struct CheckpointResult {
  Step step;          ///< steps completed
  std::string path;   ///< empty: there is none
  std::string error;  ///< why, one line
  int64_t bytes = 0;
  double seconds = 0;  ///< from the step's end
};

/// The coordinator's book of checkpoints that are being written, for one generation at a time. Pure.
///
///     parts come in --(1)--> rank 0 commits --(2)--> done
///           \__________(3)__________/----> dropped, with one result that says why
///
///   1  every rank's part is there: the files of all go to rank 0
///   2  rank 0 has answered
///   3  a rank could not write, passed over the step, or the generation ended
///
/// Ranks report checkpoints in the order of their steps, each once, whether they could write or not.
class CheckpointLedger {
 public:
  /// At most one of the two.
  struct Progress {
    std::optional<proto::CheckpointCommit> commit;  ///< for rank 0; without envelope
    std::vector<CheckpointResult> dropped;
  };

  /// A generation starts. \pre none is open: End was called for the one before
  void Begin(int64_t generation, int world_size);

  /// It is over, or is about to be. \return what was open, dropped because of `why`
  std::vector<CheckpointResult> End(const std::string& why);

  /// Messages of another generation or an impossible rank change nothing.
  Progress OnPart(const proto::CheckpointPart& part);
  std::optional<CheckpointResult> OnDone(const proto::CheckpointDone& done);

  /// Checkpoints on their way: not done and not dropped.
  int open() const { return static_cast<int>(open_.size()); }

 private:
  struct Entry {
    std::map<int, proto::CheckpointPart> parts;  // by rank
    bool committing = false;
  };

  CheckpointResult Drop(int64_t step, const std::string& why);

  int64_t generation_ = -1;
  int world_size_ = 0;
  std::map<int64_t, Entry> open_;     // by step
  std::map<int, int64_t> last_part_;  // by rank: the step of its last part
  int64_t newest_settled_ = -1;       // no step up to it is opened again
};

}  // namespace sluice
