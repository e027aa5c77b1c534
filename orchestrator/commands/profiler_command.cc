#include <memory>
#include <optional>
#include <string>
#include <utility>

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

// How long a broken mesh waits for the coordinator to say what becomes of the generation.
constexpr absl::Duration kVerdictWait = absl::Seconds(30);

/// One profiler process: receives windows from the workers and reports what the candidates would lose.
class Profiler {
 public:
  explicit Profiler(proto::JobConfig job)
      : job_(std::move(job)), process_(ThisProcess(proto::ROLE_PROFILER)) {}

  int Run() {
    const absl::Status status = Profile();
    // A worker that leaves at the end can be seen before the word that all is done.
    if (client_ == nullptr) return ExitCodeFor(status);
    return LeaveWithError(status, *client_, process_, Step(-1), nullptr, absl::Seconds(1));
  }

 private:
  // Never OK: ends when the job does, or when the line to it breaks.
  absl::Status Profile() {
    MemberClient::Events events;
    events.on_start = [this](const proto::StartGeneration&) {
      absl::MutexLock lock(&mu_);
      over_ = false;
      model_.reset();
    };
    events.on_model = [this](const proto::ModelReady& ready) {
      absl::MutexLock lock(&mu_);
      model_ = ready.start();
    };
    events.on_generation_over = [this](const proto::EndGeneration& end) { Abort(end.reason()); };
    events.on_end = [this](const MemberClient::End& end) { OnEnd(end); };
    SLUICE_ASSIGN_OR_RETURN(client_,
                            ConnectToCoordinator(std::move(events), job_.world().min_size() > 0));
    for (;;) {
      SLUICE_ASSIGN_OR_RETURN(Joined joined, JoinGeneration(*client_, FactsOf(job_, process_), {}));
      const absl::Status status = TakePart(joined);
      if (absl::IsAborted(status)) continue;
      // A lost worker is known here before the coordinator has said what becomes of the generation.
      if (job_.world().min_size() == 0 || !AwaitOver(kVerdictWait)) return status;
      if (auto end = client_->WaitEnd(absl::ZeroDuration()); end.ok()) return status;
    }
  }

  // \error kAborted  the generation was over before the ranks had a model
  absl::Status TakePart(Joined& joined) {
    if (joined.start.tensors().empty()) {
      SLUICE_ASSIGN_OR_RETURN(joined.start, AwaitModel());
    }
    const auto& addresses = joined.start.transport_addresses();
    SLUICE_ASSIGN_OR_RETURN(
        std::unique_ptr<Transport> transport,
        std::move(*joined.seed)
            .Connect(Rank(joined.start.rank()), {addresses.begin(), addresses.end()},
                     joined.transport_key));
    SetTransport(transport.get());
    const absl::Status status = ReportWindows(joined.start, *transport);
    SetTransport(nullptr);
    return status;
  }

  // As long as the program takes.
  absl::StatusOr<proto::StartGeneration> AwaitModel() {
    absl::MutexLock lock(&mu_);
    const auto known = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return over_ || model_.has_value();
    };
    mu_.Await(absl::Condition(&known));
    if (!over_) return *model_;
    // Of the job, or of the generation?
    return client_->WaitEnd(absl::ZeroDuration()).ok() ? absl::CancelledError(cause_)
                                                       : absl::AbortedError(cause_);
  }

  absl::Status ReportWindows(const proto::StartGeneration& start, Transport& transport) {
    SLUICE_ASSIGN_OR_RETURN(const BucketLayout layout,
                            LayoutOf(job_, start.tensors(), start.world_size()));
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

  // With this machine's speeds, measured once for the codecs that the job can choose from.
  absl::StatusOr<WindowProfiler> MakeProfiler(const BucketLayout& layout,
                                              const proto::StartGeneration& start) {
    if (!speeds_.has_value()) {
      SLUICE_ASSIGN_OR_RETURN(const WindowProfiler untimed,
                              WindowProfiler::Create(job_.compression(), layout, start.tensors()));
      speeds_ = MeasureCodecSpeeds(untimed.Codecs(), absl::Now);
    }
    return WindowProfiler::Create(job_.compression(), layout, start.tensors(), *speeds_);
  }

  // On an actor thread.
  void OnEnd(const MemberClient::End& end) {
    ExitAfter(kMemberLeaveSeconds, end.exit_code, end.cause);
    Abort(end.cause);
  }

  void Abort(const std::string& cause) {
    absl::MutexLock lock(&mu_);
    over_ = true;
    cause_ = cause;
    if (transport_ != nullptr) transport_->Abort(cause);
  }

  void SetTransport(Transport* transport) {
    absl::MutexLock lock(&mu_);
    transport_ = transport;
    // The generation may have ended before there was a transport to abort.
    if (transport != nullptr && over_) transport->Abort(cause_);
  }

  bool AwaitOver(absl::Duration timeout) {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&over_), timeout);
  }

  const proto::JobConfig job_;
  const proto::ProcessInfo process_;
  std::optional<CodecSpeeds> speeds_;
  absl::Mutex mu_;
  Transport* transport_ ABSL_GUARDED_BY(mu_) = nullptr;               // borrowed while it lives
  bool over_ ABSL_GUARDED_BY(mu_) = false;                            // the generation, or the job
  std::optional<proto::StartGeneration> model_ ABSL_GUARDED_BY(mu_);  // of a program, once known
  std::string cause_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<MemberClient> client_;  // last: its threads call into this, so it dies first
};

}  // namespace

int ProfilerCommand(const CommandLine&) {
  return RunMember("profiler", LoadResolvedJob(),
                   [](proto::JobConfig job) { return Profiler(std::move(job)).Run(); });
}

}  // namespace sluice
