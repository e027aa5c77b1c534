#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "actors/member_client.h"
#include "orchestrator/commands/process_setup.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"
#include "training/session/generation.h"

namespace sluice {

/// What a worker's and a profiler's process have in common: how they start and find their job.

/// Sets up log and signals, and calls `run` with the job. A signal to end (docs/operations.md) is
/// passed on to the coordinator, so that all stop at the same step; without a line to it, or the second time, it ends
/// the process at once.
/// \param kind  "worker" or "profiler"
/// \param job   as LoadResolvedJob gives it; an error ends the process
/// \return the process's exit code
int RunMember(absl::string_view kind, absl::StatusOr<proto::JobConfig> job,
              const std::function<int(proto::JobConfig)>& run);

/// Tells the coordinator that `process` was asked to end: alone, or with the whole job.
void AskToLeave(MemberClient& client, const proto::ProcessInfo& process, const Termination& end);

/// Connects to the coordinator that --coordinator and --job-id name, with the credentials that --credentials names.
/// Once per process, since these may come over standard input.
/// \param elastic  a coordinator that is lost is looked for again
/// \return shared with the thread that handles signals, while it sends
absl::StatusOr<std::shared_ptr<MemberClient>> ConnectToCoordinator(MemberClient::Events events,
                                                                   bool elastic);

/// JobDigest of `job`, --start-timeout, and so on.
MemberFacts FactsOf(const proto::JobConfig& job, const proto::ProcessInfo& process);

}  // namespace sluice
