#pragma once

#include <functional>
#include <string>

#include "actors/messages.h"

namespace sluice {

/// What a worker's or profiler's process does with the coordinator's orders. Called on the actor's thread:
/// hand over to a queue and return.
struct MemberEvents {
  std::function<void(const proto::StartGeneration&)> on_start = [](const auto&) {};
  /// All ranks of the generation have made their optimizer.
  std::function<void(const proto::ModelReady&)> on_model = [](const auto&) {};
  std::function<void(const proto::PolicyUpdate&)> on_policy = [](const auto&) {};
  /// The generation is over: end what is in flight and join the next one.
  std::function<void(const proto::EndGeneration&)> on_generation_over = [](const auto&) {};
  /// Begin no step from now on. \return the last one begun
  std::function<int64_t(const proto::Hold&)> on_hold = [](const auto&) { return -1; };
  std::function<void(const proto::Boundary&)> on_boundary = [](const auto&) {};
  std::function<void(const proto::PhaseDecision&)> on_phase = [](const auto&) {};
  /// Rank 0: all ranks have written their files of a checkpoint.
  std::function<void(const proto::CheckpointCommit&)> on_commit = [](const auto&) {};
  /// The line to the coordinator broke. \return whether the process will look for it again; else that is its end
  std::function<bool(const std::string& cause)> on_lost = [](const auto&) { return false; };
  /// The job is over for this process: refused, failed or lost its coordinator (exit_code not 0), or done (0).
  std::function<void(const std::string& cause, int exit_code)> on_end = [](const auto&, int) {};
};

struct MemberActorState {
  CoordinatorHandle coordinator;
  proto::Envelope envelope;                          // job id, and the generation once started
  std::string coordinator_name = "the coordinator";  // with host and pid once started
  bool ended = false;
};

/// Thin shell of a worker or profiler: stamps and forwards what its process reports, turns orders into
/// events. Orders of another job or generation are dropped.
/// \param envelope  the job, and the generation that the process took part in last
MemberHandle::behavior_type MemberActor(MemberHandle::stateful_pointer<MemberActorState> self,
                                        CoordinatorHandle coordinator, proto::Envelope envelope,
                                        MemberEvents events);

}  // namespace sluice
