#include "training/session/generation.h"

#include <utility>

#include "actors/coordinator_state.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace sluice {

absl::StatusOr<Joined> JoinGeneration(MemberClient& client, const MemberFacts& facts,
                                      proto::Join join) {
  Joined joined;
  SLUICE_ASSIGN_OR_RETURN(joined.seed,
                          UcxEndpointSeed::Create({facts.job.communication().transports()}));
  join.set_protocol_version(kProtocolVersion);
  join.set_job_digest(facts.job_digest);
  *join.mutable_process() = facts.process;
  join.set_transport_address(joined.seed->address());
  // Elastic: a spare waits until it is needed.
  const bool elastic = facts.job.world().min_size() > 0;
  SLUICE_ASSIGN_OR_RETURN(
      joined.start,
      client.Join(std::move(join), elastic ? absl::InfiniteDuration() : facts.start_timeout));
  joined.transport_key = client.TransportKey(joined.start.envelope().generation());
  return joined;
}

int LeaveWithError(const absl::Status& error, MemberClient& client,
                   const proto::ProcessInfo& process, Step step, const proto::StepReport* unsent,
                   absl::Duration patience) {
  auto end = client.WaitEnd(patience);
  if (!end.ok()) {
    // The coordinator does not know yet: tell it, and leave when it has told everybody.
    SLUICE_LOG(Error, error.message());
    const int code = ExitCodeForStatus(error);
    proto::Failure failure;
    *failure.mutable_culprit() = process;
    failure.set_step(step.value);
    failure.set_cause(std::string(error.message()));
    failure.set_exit_code(code);
    // A lost partner or a deadline is a consequence: the partner's own end is the better cause.
    failure.set_secondary(absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error) ||
                          absl::IsCancelled(error));
    failure.set_waited(absl::IsDeadlineExceeded(error));
    if (unsent != nullptr && unsent->steps_size() > 0) client.Send(*unsent);
    client.Send(std::move(failure));
    end = client.WaitEnd(absl::Seconds(kMemberLeaveSeconds));
    if (!end.ok()) return code;
  }
  if (end->exit_code != kExitOk) SLUICE_LOG(Error, "the job failed: ", end->cause);
  return end->exit_code;
}

}  // namespace sluice
