#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/schedule.pb.h"

namespace sluice {

/// The job's phases, none of them implied: without `phases` there is one, named train, with the job's own
/// settings and length.
std::vector<proto::Phase> PhasesOf(const proto::JobConfig& job);

/// What a phase can set of the job's compression; and the whole of what is in force in it.
proto::PhaseCompression PhaseCompressionOf(const proto::Compression& compression);
proto::Compression CompressionOf(const proto::JobConfig& job, const proto::Phase& phase);

/// The phase's name, or its kind if it has none.
std::string NameOf(const proto::Phase& phase);

/// Order in which the phases run, as indices, repetitions written out.
/// \error kInvalidArgument  repeat_from names no phase up to its own; two phases of one name; more than
///                          kMostRuns runs. Names the phase
absl::StatusOr<std::vector<int>> RunOrder(const std::vector<proto::Phase>& phases);
inline constexpr int kMostRuns = 10000;

/// Which phase each step belongs to, as a pure function of the job's phases, their lengths, and the evaluations so
/// far. Ranks and the coordinator each have one; they agree as long as they record the same entries.
///
///     run 0             run 1                  run 2
///     |----E----E----E  |----------------E     |----E----E ...        E  an entry of the log
///     0              first_step          first_step                   | phase's first step
///
/// A run ends after its phase's steps, or at the entry at which its condition holds. An entry is due at the end of
/// every run but the job's last, and every evaluate_every_steps within a run with a condition.
class PhaseSchedule {
 public:
  /// One run of one phase.
  struct Run {
    int number = 0;  ///< from 0
    int phase = 0;   ///< index in phases()
    int64_t first_step = 0;
    int64_t steps = 0;  ///< at the most
    bool last = false;  ///< no other follows
    int64_t end() const { return first_step + steps; }
  };

  /// \param steps  of each phase, at least 1
  /// \error as RunOrder; kInvalidArgument: not one length per phase
  static absl::StatusOr<PhaseSchedule> Create(std::vector<proto::Phase> phases,
                                              std::vector<int64_t> steps);

  const std::vector<proto::Phase>& phases() const { return phases_; }
  const std::vector<int64_t>& steps() const { return steps_; }
  /// The run that is going on, after all recorded entries.
  const Run& run() const { return run_; }
  const proto::Phase& phase() const { return phases_[run_.phase]; }
  /// Of the job, if no condition ends a run early from here on.
  int64_t total_steps() const;

  /// Whether ranks evaluate with `completed` steps done, before they go on.
  bool Due(int64_t completed) const;

  /// Takes an entry. \return whether it ended the run: run() is the next one
  /// \error kFailedPrecondition  none is due at its step
  absl::StatusOr<bool> Record(const proto::ScheduleLog::Entry& entry);

  const proto::ScheduleLog& log() const { return log_; }

  /// Starts over and takes the entries of `log` up to `completed` steps.
  /// \error kFailedPrecondition  it belongs to other phases: nothing was changed
  absl::Status Restore(const proto::ScheduleLog& log, int64_t completed);

 private:
  PhaseSchedule(std::vector<proto::Phase> phases, std::vector<int64_t> steps,
                std::vector<int> order);

  void Begin(int number, int64_t first_step);
  bool Holds() const;

  std::vector<proto::Phase> phases_;
  std::vector<int64_t> steps_;
  std::vector<int> order_;
  Run run_;
  int first_entry_ = 0;  // of the run, in the log
  proto::ScheduleLog log_;
};

}  // namespace sluice
