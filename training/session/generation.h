#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/member_client.h"
#include "base/ids.h"
#include "comm/transport/ucx_transport.h"
#include "proto/control.pb.h"
#include "proto/job.pb.h"

namespace sluice {

/// How members of a job come into a generation, and how they leave the job.

/// Seconds within which a process leaves once the job has ended, whatever it is doing.
inline constexpr int kMemberLeaveSeconds = 5;

/// What a process says of itself in every generation.
struct MemberFacts {
  const proto::JobConfig& job;  ///< as resolved
  uint64_t job_digest = 0;
  proto::ProcessInfo process;
  absl::Duration start_timeout;  ///< for the start of a job that is not elastic
};

/// A member of a generation that starts.
struct Joined {
  proto::StartGeneration start;
  std::unique_ptr<UcxEndpointSeed> seed;  ///< to be connected to start.transport_addresses()
  std::string transport_key;              ///< of the generation
};

/// Makes a UCX endpoint, joins the next generation with its address and waits for the start: for
/// `start_timeout`, and in an elastic job as long as it takes.
/// \param join  what is particular to this member; the rest is filled in
absl::StatusOr<Joined> JoinGeneration(MemberClient& client, const MemberFacts& facts,
                                      proto::Join join);

/// Ends a process's part that ended with `error`. If the coordinator has said within `patience` how the job
/// ended, that is the reason; else it is told, first the steps of `unsent` (may be null), then the error, which
/// is logged.
/// \param step  last one completed, -1 = none
/// \return the process's exit code
int LeaveWithError(const absl::Status& error, MemberClient& client,
                   const proto::ProcessInfo& process, Step step, const proto::StepReport* unsent,
                   absl::Duration patience);

}  // namespace sluice
