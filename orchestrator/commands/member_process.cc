#include "orchestrator/commands/member_process.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
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

MemberFacts FactsOf(const proto::JobConfig& job, const proto::ProcessInfo& process) {
  return {job, JobDigest(job), process, absl::Seconds(absl::GetFlag(FLAGS_start_timeout))};
}

}  // namespace sluice
