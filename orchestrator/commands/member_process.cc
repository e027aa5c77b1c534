#include "orchestrator/commands/member_process.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "actors/coordinator_state.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/job_writer.h"
#include "security/credential_source.h"

namespace sluice {
namespace {

// How long members of an elastic job look for a coordinator that is started again.
constexpr absl::Duration kReconnect = absl::Seconds(60);

}  // namespace

int RunMember(absl::string_view kind, const std::function<int(proto::JobConfig)>& run) {
  SetLogIdentity(absl::StrCat(kind, " ", absl::GetFlag(FLAGS_slot), " ", HostName()));
  HandleSignals([](const Termination& end) {
    SLUICE_LOG(Error, end.why);
    _exit(end.exit_code);
  });
  auto job = LoadResolvedJob();
  return job.ok() ? run(*std::move(job)) : ExitCodeFor(job.status());
}

absl::StatusOr<std::unique_ptr<MemberClient>> ConnectToCoordinator(MemberClient::Events events,
                                                                   bool elastic) {
  MemberClient::Options options;
  SLUICE_ASSIGN_OR_RETURN(auto endpoint, ParseEndpoint(absl::GetFlag(FLAGS_coordinator)));
  options.coordinator_host = endpoint.first;
  options.coordinator_port = endpoint.second;
  options.job_id = absl::GetFlag(FLAGS_job_id);
  // Under a scheduler the coordinator may start long after others.
  options.connect_timeout = absl::Seconds(absl::GetFlag(FLAGS_start_timeout));
  if (elastic) options.reconnect_timeout = kReconnect;
  SLUICE_ASSIGN_OR_RETURN(options.credentials,
                          LoadCredentials(absl::GetFlag(FLAGS_credentials), absl::Now()));
  return MemberClient::Connect(options, std::move(events));
}

absl::StatusOr<Joined> JoinGeneration(MemberClient& client, const proto::JobConfig& job,
                                      const proto::ProcessInfo& process, proto::Join join) {
  Joined joined;
  SLUICE_ASSIGN_OR_RETURN(joined.seed, UcxEndpointSeed::Create({job.communication().transports()}));
  join.set_protocol_version(kProtocolVersion);
  join.set_job_digest(JobDigest(job));
  *join.mutable_process() = process;
  join.set_transport_address(joined.seed->address());
  // Elastic: a spare waits until it is needed.
  const bool elastic = job.world().min_size() > 0;
  const absl::Duration patience =
      elastic ? absl::InfiniteDuration() : absl::Seconds(absl::GetFlag(FLAGS_start_timeout));
  SLUICE_ASSIGN_OR_RETURN(joined.start, client.Join(std::move(join), patience));
  joined.transport_key = client.TransportKey(joined.start.envelope().generation());
  return joined;
}

int LeaveWithError(const absl::Status& error, MemberClient* client,
                   const proto::ProcessInfo& process, Step step, const proto::StepReport* unsent,
                   absl::Duration patience) {
  if (client == nullptr) return ExitCodeFor(error);
  auto end = client->WaitEnd(patience);
  if (!end.ok()) {
    // The coordinator does not know yet: tell it, and leave when it has told everybody.
    const int code = ExitCodeFor(error);
    proto::Failure failure;
    *failure.mutable_culprit() = process;
    failure.set_step(step.value);
    failure.set_cause(std::string(error.message()));
    failure.set_exit_code(code);
    // A lost partner or a deadline is a consequence: the partner's own end is the better cause.
    failure.set_secondary(absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error) ||
                          absl::IsCancelled(error));
    if (unsent != nullptr && unsent->steps_size() > 0) client->Send(*unsent);
    client->Send(std::move(failure));
    end = client->WaitEnd(absl::Seconds(kMemberLeaveSeconds));
    if (!end.ok()) return code;
  }
  if (end->exit_code != kExitOk) SLUICE_LOG(Error, "the job failed: ", end->cause);
  return end->exit_code;
}

}  // namespace sluice
