#include <memory>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "actors/codec_choice.h"
#include "actors/codec_speeds.h"
#include "actors/member_client.h"
#include "actors/window_profiler.h"
#include "base/status_macros.h"
#include "comm/reducer/window_snapshot.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/member_process.h"
#include "orchestrator/commands/process_setup.h"

namespace sluice {
namespace {

/// One profiler process: receives windows from the workers and reports what the candidates would lose.
class Profiler {
 public:
  explicit Profiler(proto::JobConfig job)
      : job_(std::move(job)), process_(ThisProcess(proto::ROLE_PROFILER)) {}

  int Run() {
    const absl::Status status = Profile();
    // A worker that leaves at the end can be seen before the word that all is done.
    return LeaveWithError(status, client_.get(), process_, Step(-1), nullptr, absl::Seconds(1));
  }

 private:
  // Never OK: ends when the transport is aborted or a worker is gone.
  absl::Status Profile() {
    SLUICE_ASSIGN_OR_RETURN(
        client_, ConnectToCoordinator([](const proto::PolicyUpdate&) {},
                                      [this](const MemberClient::End& end) { OnEnd(end); }));
    SLUICE_ASSIGN_OR_RETURN(const Joined joined, JoinGeneration(*client_, job_, process_, {}));
    SetTransport(joined.transport.get());
    const absl::Status status = ReportWindows(joined.start, *joined.transport);
    SetTransport(nullptr);
    return status;
  }

  absl::Status ReportWindows(const proto::StartGeneration& start, Transport& transport) {
    SLUICE_ASSIGN_OR_RETURN(const BucketLayout layout, LayoutOf(job_, start.tensors()));
    SLUICE_ASSIGN_OR_RETURN(const WindowProfiler profiler, MakeProfiler(layout, start));
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

  // With this machine's speeds, measured for the codecs that the job can choose from.
  absl::StatusOr<WindowProfiler> MakeProfiler(const BucketLayout& layout,
                                              const proto::StartGeneration& start) const {
    SLUICE_ASSIGN_OR_RETURN(const WindowProfiler untimed,
                            WindowProfiler::Create(job_.compression(), layout, start.tensors()));
    return WindowProfiler::Create(job_.compression(), layout, start.tensors(),
                                  MeasureCodecSpeeds(untimed.Codecs(), absl::Now));
  }

  // On an actor thread.
  void OnEnd(const MemberClient::End& end) {
    ExitAfter(kMemberLeaveSeconds, end.exit_code, end.cause);
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
  return RunMember("profiler", [](proto::JobConfig job) { return Profiler(std::move(job)).Run(); });
}

}  // namespace sluice
