#include "orchestrator/commands/member_process.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
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

// The way to the coordinator of this process, for its signals.
struct SignalLine {
  absl::Mutex mu;
  std::weak_ptr<MemberClient> client ABSL_GUARDED_BY(mu);
  proto::ProcessInfo process ABSL_GUARDED_BY(mu);
  absl::Duration grace ABSL_GUARDED_BY(mu);
  bool stopping ABSL_GUARDED_BY(mu) = false;  // the whole job was asked to
};

// One per process, as its signals are. Outlives main: the signal thread does.
SignalLine& TheSignalLine() {
  static auto* const line = new SignalLine;
  return *line;
}

// \return whether the coordinator was asked, so that the process goes on until it is told what to do
bool PassOn(const Termination& end) {
  SignalLine& line = TheSignalLine();
  absl::MutexLock lock(&line.mu);
  const std::shared_ptr<MemberClient> client = line.client.lock();
  if (end.launcher_gone || line.stopping || client == nullptr) return false;
  AskToLeave(*client, line.process, end);
  if (end.alone) return true;
  line.stopping = true;
  ExitAfter(static_cast<int>(absl::ToInt64Seconds(absl::Ceil(line.grace, absl::Seconds(1)))) +
                kMemberLeaveSeconds,
            end.exit_code, end.why);
  return true;
}

}  // namespace

void AskToLeave(MemberClient& client, const proto::ProcessInfo& process, const Termination& end) {
  SLUICE_LOG(Info, end.why,
             end.alone ? "" : ": all ranks stop at the next step that they agree on");
  proto::Leave leave;
  *leave.mutable_process() = process;
  leave.set_reason(end.why);
  leave.set_alone(end.alone);
  leave.set_exit_code(end.exit_code);
  client.Send(std::move(leave));
}

int RunMember(absl::string_view kind, absl::StatusOr<proto::JobConfig> job,
              const std::function<int(proto::JobConfig)>& run) {
  SetLogIdentity(absl::StrCat(kind, " ", absl::GetFlag(FLAGS_slot), " ", HostName()));
  HandleSignals([](const Termination& end) {
    if (PassOn(end)) return;
    SLUICE_LOG(Error, end.why);
    _exit(end.exit_code);
  });
  if (job.ok()) {
    SignalLine& line = TheSignalLine();
    absl::MutexLock lock(&line.mu);
    line.grace = absl::Seconds(job->checkpoint().grace_seconds());
    line.process = ThisProcess(kind == "worker" ? proto::ROLE_WORKER : proto::ROLE_PROFILER);
  }
  return job.ok() ? run(*std::move(job)) : ExitCodeFor(job.status());
}

absl::StatusOr<std::shared_ptr<MemberClient>> ConnectToCoordinator(MemberClient::Events events,
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
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<MemberClient> client,
                          MemberClient::Connect(options, std::move(events)));
  SignalLine& line = TheSignalLine();
  absl::MutexLock lock(&line.mu);
  line.client = client;
  return client;
}

MemberFacts FactsOf(const proto::JobConfig& job, const proto::ProcessInfo& process) {
  return {job, JobDigest(job), process, absl::Seconds(absl::GetFlag(FLAGS_start_timeout))};
}

}  // namespace sluice
