#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "actors/member_client.h"
#include "base/ids.h"
#include "comm/transport/ucx_transport.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"

namespace sluice {

/// What a worker's and a profiler's process have in common: how they start, join and leave.

/// Seconds within which a process leaves once the job has ended, whatever it is doing.
inline constexpr int kMemberLeaveSeconds = 5;

/// Sets up log and signals, loads the job that --job names, and calls `run`. A signal to end (docs/operations.md) is
/// passed on to the coordinator, so that all stop at the same step; without a line to it, or the second time, it ends
/// the process at once.
/// \param kind  "worker" or "profiler"
/// \return the process's exit code
int RunMember(absl::string_view kind, const std::function<int(proto::JobConfig)>& run);

/// Connects to the coordinator that --coordinator and --job-id name, with the credentials that --credentials names.
/// Once per process, since these may come over standard input.
/// \param elastic  a coordinator that is lost is looked for again
/// \return shared with the thread that handles signals, while it sends
absl::StatusOr<std::shared_ptr<MemberClient>> ConnectToCoordinator(MemberClient::Events events,
                                                                   bool elastic);

/// A member of a generation that starts.
struct Joined {
  proto::StartGeneration start;
  std::unique_ptr<UcxEndpointSeed> seed;  ///< to be connected to start.transport_addresses()
  std::string transport_key;              ///< of the generation
};

/// Makes a UCX endpoint, joins the next generation with its address and waits for the start: for
/// --start-timeout, and in an elastic job as long as it takes.
/// \param join  what is particular to this member; the rest is filled in
absl::StatusOr<Joined> JoinGeneration(MemberClient& client, const proto::JobConfig& job,
                                      const proto::ProcessInfo& process, proto::Join join);

/// Ends a process whose part ended with `error`. If the coordinator has said within `patience` how the job
/// ended, that is the reason; else it is told, first the steps of `unsent` (may be null), then the error.
/// \param client  null if there was no connection yet
/// \param step    last one completed, -1 = none
/// \return the process's exit code
int LeaveWithError(const absl::Status& error, MemberClient* client,
                   const proto::ProcessInfo& process, Step step, const proto::StepReport* unsent,
                   absl::Duration patience);

}  // namespace sluice
