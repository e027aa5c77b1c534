#include <unistd.h>

#include <memory>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "actors/codec_choice.h"
#include "actors/coordinator_state.h"
#include "actors/member_client.h"
#include "actors/window_profiler.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/reducer/window_snapshot.h"
#include "comm/transport/ucx_transport.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/job_writer.h"

namespace sluice {
namespace {

constexpr int kLeaveSeconds = 5;

/// One profiler process: receives windows from the workers and reports what the candidates would lose.
class Profiler {
 public:
  explicit Profiler(proto::JobConfig job)
      : job_(std::move(job)), process_(ThisProcess(proto::ROLE_PROFILER)) {}

  int Run() {
    const absl::Status status = Profile();
    if (client_ == nullptr) return ExitCodeFor(status);
    // A worker that leaves at the end can be seen before the word that all is done.
    auto end = client_->WaitEnd(absl::Seconds(1));
    if (!end.ok()) {
      const int code = ExitCodeFor(status);
      proto::Failure failure;
      *failure.mutable_culprit() = process_;
      failure.set_step(-1);
      failure.set_cause(std::string(status.message()));
      failure.set_exit_code(code);
      failure.set_secondary(absl::IsUnavailable(status) || absl::IsCancelled(status));
      client_->Send(std::move(failure));
      end = client_->WaitEnd(absl::Seconds(kLeaveSeconds));
      if (!end.ok()) return code;
    }
    if (end->exit_code != 0) SLUICE_LOG(Error, "the job failed: ", end->cause);
    return end->exit_code;
  }

 private:
  // Never OK: ends when the transport is aborted or a worker is gone.
  absl::Status Profile() {
    MemberClient::Options options;
    SLUICE_ASSIGN_OR_RETURN(auto endpoint, ParseEndpoint(absl::GetFlag(FLAGS_coordinator)));
    options.coordinator_host = endpoint.first;
    options.coordinator_port = endpoint.second;
    options.job_id = absl::GetFlag(FLAGS_job_id);
    SLUICE_ASSIGN_OR_RETURN(client_, MemberClient::Connect(
                                         options, [](const proto::PolicyUpdate&) {},
                                         [this](const MemberClient::End& end) { OnEnd(end); }));

    SLUICE_ASSIGN_OR_RETURN(auto seed,
                            UcxEndpointSeed::Create({job_.communication().transports()}));
    proto::Join join;
    join.set_protocol_version(kProtocolVersion);
    join.set_job_digest(JobDigest(job_));
    *join.mutable_process() = process_;
    join.set_transport_address(seed->address());
    SLUICE_ASSIGN_OR_RETURN(
        const proto::StartGeneration start,
        client_->Join(std::move(join), absl::Seconds(absl::GetFlag(FLAGS_start_timeout))));
    SLUICE_ASSIGN_OR_RETURN(
        auto transport,
        std::move(*seed).Connect(Rank(start.rank()), {start.transport_addresses().begin(),
                                                      start.transport_addresses().end()}));
    SetTransport(transport.get());
    const absl::Status status = ReportWindows(start, *transport);
    SetTransport(nullptr);
    return status;
  }

  absl::Status ReportWindows(const proto::StartGeneration& start, Transport& transport) {
    SLUICE_ASSIGN_OR_RETURN(auto infos, ToTensorInfos(start.tensors()));
    SLUICE_ASSIGN_OR_RETURN(
        const BucketLayout layout,
        BucketLayout::Create(std::move(infos),
                             static_cast<int64_t>(job_.communication().bucket_mb() * (1 << 20)),
                             start.world_size()));
    SLUICE_ASSIGN_OR_RETURN(const WindowProfiler profiler,
                            WindowProfiler::Create(job_.compression(), layout, start.tensors()));
    SnapshotReceiver receiver(layout, transport);
    while (true) {
      SLUICE_ASSIGN_OR_RETURN(const WindowSnapshot snapshot,
                              receiver.Receive(absl::InfiniteFuture()));
      const absl::Time begin = absl::Now();
      proto::Statistics statistics;
      *statistics.mutable_window() = profiler.Measure(snapshot);
      statistics.mutable_window()->set_profile_seconds(absl::ToDoubleSeconds(absl::Now() - begin));
      client_->Send(std::move(statistics));
    }
  }

  // On an actor thread.
  void OnEnd(const MemberClient::End& end) {
    ExitAfter(kLeaveSeconds, end.exit_code, end.cause);
    absl::MutexLock lock(&mu_);
    if (transport_ != nullptr) transport_->Abort(end.cause);
  }

  void SetTransport(Transport* transport) {
    absl::MutexLock lock(&mu_);
    transport_ = transport;
    if (transport == nullptr) return;
    // The end may have come before there was a transport to abort.
    if (auto end = client_->WaitEnd(absl::ZeroDuration()); end.ok()) transport->Abort(end->cause);
  }

  const proto::JobConfig job_;
  const proto::ProcessInfo process_;
  absl::Mutex mu_;
  Transport* transport_ ABSL_GUARDED_BY(mu_) = nullptr;  // borrowed while it lives
  std::unique_ptr<MemberClient> client_;  // last: its threads call into this, so it dies first
};

}  // namespace

int ProfilerCommand(const CommandLine&) {
  SetLogIdentity(absl::StrCat("profiler ", absl::GetFlag(FLAGS_slot), " ", HostName()));
  HandleTermination([](const std::string& why, int exit_code) {
    SLUICE_LOG(Error, why);
    _exit(exit_code);
  });
  auto job = LoadResolvedJob();
  if (!job.ok()) return ExitCodeFor(job.status());
  return Profiler(*std::move(job)).Run();
}

}  // namespace sluice
