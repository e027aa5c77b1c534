#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/reducer/bucket_layout.h"
#include "proto/control.pb.h"

namespace sluice {

/// A rank that holds the others up, or does so no more.
struct Finding {
  enum class Kind {
    kSilent,   ///< no heartbeat, although its connection stands
    kStalled,  ///< heartbeats, but no progress
    kSlow,     ///< progress, but the others wait for it in most steps
  };
  enum class State { kFound, kGoesOn, kResolved };

  std::string id;  ///< SL2101 slow, SL2102 silent or stalled
  Kind kind = Kind::kStalled;
  State state = State::kFound;
  int rank = 0;
  proto::ProcessInfo process;
  int64_t step = -1;  ///< that it works on, as far as is known
  proto::WorkPhase phase = proto::WORK_PHASE_UNSPECIFIED;
  int bucket = -1;                  ///< that others wait for; -1: unknown
  std::vector<std::string> layers;  ///< in that bucket
  int waiting_ranks = 0;            ///< that wait for it
  absl::Duration lasted;
  double lag_seconds = 0;  ///< kSlow: behind the median of the others, per step
  double share = 0;        ///< kSlow: of the step that the lag is
  bool shutdown = false;   ///< it has lasted so long that the rank is to go
  std::string text;        ///< all of it in one line, for people
};

/// How much one rank was waited for.
struct RankLag {
  int rank = 0;
  proto::ProcessInfo process;
  int64_t steps = 0;
  int64_t last_in_steps = 0;  ///< in which it came last to the collective
  double lag_seconds = 0;     ///< behind the median of the others, sum over steps
};

const char* PhaseName(proto::WorkPhase phase);  // "data", "compute", ...
const char* KindName(Finding::Kind kind);       // "silent", "stalled", "slow"
const char* StateName(Finding::State state);    // "found", "goes_on", "resolved"

/// Finds who holds a generation up, from heartbeats and step reports. Pure: time is a parameter, which
/// never goes back.
///
/// Stalls. A heartbeat shows progress when step, phase, bucket or those waited for are others than in the
/// one before. A rank in a phase of its own that has made none for the limit is the culprit. A rank that
/// waits for the reducer is a victim; the culprit is at the end of its chain of waits:
///
///     rank 0 --waits for--> rank 2 --waits for--> rank 1 (compute)       rank 1
///                                                 rank 1 (silent)        rank 1
///                                                 rank 1 (decision)      nobody: it waits for the coordinator
///                                                 rank 1 (reduce)        who most wait for: the network
///
/// The limit is max(warning, 3 median steps), and kFirstStep before steps are known; longer for evaluation,
/// checkpoints and sync; none for start and waits for the coordinator. So a long phase that all share, and a
/// network that is slow for all, are no findings.
///
/// Lag. The ranks of a step leave the collective together, so that a rank that waited less than the others
/// came that much later: lag = median of the others' exposed time - its own. A rank is slow when over the
/// last max(3 steps, kSlowWindow) it came last in most steps and its lag was more than a fifth of them.
///
/// A finding is told once, again after gaps that double, and once more when it is over.
class StallDetector {
 public:
  struct Options {
    absl::Duration warning = absl::Seconds(5);
    absl::Duration shutdown;    ///< of a stall, 0 = never
    absl::Duration dead_after;  ///< silence after which a rank is to go, 0 = never
  };

  static constexpr absl::Duration kSilence = absl::Seconds(3);
  static constexpr absl::Duration kFirstStep = absl::Seconds(30);
  static constexpr absl::Duration kSlowWindow = absl::Seconds(4);
  static constexpr double kSlowShare = 0.2;
  static constexpr double kSlowLast = 0.6;

  explicit StallDetector(const Options& options) : options_(options) {}

  /// A generation begins; the lags of the one before are forgotten, open findings as well.
  /// \param layout  null while the model is not known: layers have no names then
  void OnStart(const proto::StartGeneration& start, const BucketLayout* layout, absl::Time now);
  void OnHeartbeat(const proto::Heartbeat& heartbeat, absl::Time now);
  void OnStepReport(const proto::StepReport& report);
  /// The rank is through with the job, or gone: no more is expected of it.
  void OnDone(int rank);

  /// Call a few times a second. A gap between two calls is taken for a pause of this process, in which it
  /// heard nobody.
  std::vector<Finding> OnTick(absl::Time now);

  /// By rank.
  std::vector<RankLag> lags() const;
  int64_t stalls() const { return stalls_; }
  /// Sum over the stalls that are over.
  absl::Duration stalled() const { return stalled_; }

 private:
  struct OfRank {
    proto::ProcessInfo process;
    proto::Heartbeat last;
    bool heard_of = false;
    bool done = false;
    absl::Time heard;                                         // the last heartbeat came
    absl::Time progress;                                      // its state stands since
    std::array<double, proto::WorkPhase_ARRAYSIZE> phases{};  // heartbeats, recent ones count more
    RankLag lag;
  };
  struct Cause {
    Finding::Kind kind = Finding::Kind::kStalled;
    absl::Time since;
    bool network = false;
    int bucket = -1;
    int waiting = 0;
  };
  struct Open {
    Finding finding;  // as last told
    absl::Time since;
    absl::Time next;
    absl::Duration gap;
    bool shutdown_told = false;
  };
  struct StepLags {
    double seconds = 0;
    std::vector<double> lag;
    int last = 0;
  };

  bool Silent(const OfRank& rank, absl::Time now) const;
  absl::Duration Limit() const;
  absl::Duration LimitOf(proto::WorkPhase phase) const;
  std::map<int, Cause> Causes(absl::Time now) const;
  void FollowWaits(int from, absl::Time now, std::set<int>& roots, std::set<int>& visited) const;
  void AddStep(int64_t step, double seconds, const std::vector<double>& exposed);
  void Tell(int rank, Finding finding, absl::Time since, absl::Time now, std::map<int, Open>& open,
            std::vector<Finding>& out);
  void EndOthers(const std::set<int>& still, absl::Time now, std::map<int, Open>& open,
                 std::vector<Finding>& out);
  Finding Describe(int rank, const Cause& cause, absl::Time now) const;
  std::optional<Finding> Slow(int rank) const;

  const Options options_;
  std::vector<OfRank> ranks_;
  std::vector<std::vector<std::string>> layers_;  // by bucket
  std::map<int, Open> stalled_ranks_;
  std::map<int, Open> slow_ranks_;
  std::optional<absl::Time> last_tick_;

  struct OpenStep {
    int reports = 0;
    double seconds = 0;
    std::vector<double> exposed;
  };
  std::map<int64_t, OpenStep> steps_;  // not reported by all ranks yet
  std::deque<double> step_seconds_;    // recent ones, of single ranks
  std::deque<StepLags> window_;        // for kSlow
  int64_t window_end_ = -1;            // its newest step
  double window_seconds_ = 0;
  int64_t stalls_ = 0;
  absl::Duration stalled_;
};

}  // namespace sluice
