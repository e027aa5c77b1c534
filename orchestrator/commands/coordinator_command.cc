#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "actors/coordinator_server.h"
#include "actors/policy_publisher.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "orchestrator/chaos/coordinator_chaos.h"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/chaos_loader.h"
#include "orchestrator/config/job_writer.h"
#include "orchestrator/launcher/network.h"
#include "orchestrator/report/console_reporter.h"
#include "orchestrator/report/metrics_exporter.h"
#include "orchestrator/report/run_recorder.h"
#include "security/credential_source.h"

namespace sluice {
namespace {

/// Passes every event on to several observers, in order.
class Observers : public CoordinatorObserver {
 public:
  explicit Observers(std::vector<CoordinatorObserver*> all) : all_(std::move(all)) {}
  void OnStarted(const proto::StartGeneration& start, const ModelSize& size) override {
    for (auto* one : all_) one->OnStarted(start, size);
  }
  void OnRegroup(const std::string& reason, const std::vector<proto::ProcessInfo>& lost) override {
    for (auto* one : all_) one->OnRegroup(reason, lost);
  }
  void OnSteps(const std::vector<ClusterStep>& steps) override {
    for (auto* one : all_) one->OnSteps(steps);
  }
  void OnReport(const proto::StepReport& report) override {
    for (auto* one : all_) one->OnReport(report);
  }
  void OnPolicy(const proto::CompressionPolicy& policy) override {
    for (auto* one : all_) one->OnPolicy(policy);
  }
  void OnWindow(const proto::WindowStatistics& window) override {
    for (auto* one : all_) one->OnWindow(window);
  }
  void OnPhase(const PhaseOutcome& phase, int64_t total_steps) override {
    for (auto* one : all_) one->OnPhase(phase, total_steps);
  }
  void OnEvaluation(const PhaseOutcome& phase) override {
    for (auto* one : all_) one->OnEvaluation(phase);
  }
  void OnCheckpoint(const CheckpointResult& result) override {
    for (auto* one : all_) one->OnCheckpoint(result);
  }
  void OnHeartbeat(const proto::Heartbeat& heartbeat) override {
    for (auto* one : all_) one->OnHeartbeat(heartbeat);
  }
  void OnLags(const std::vector<RankLag>& lags) override {
    for (auto* one : all_) one->OnLags(lags);
  }
  void OnFinding(const Finding& finding) override {
    for (auto* one : all_) one->OnFinding(finding);
  }
  void OnEnd(const std::variant<JobResult, proto::Failure>& outcome) override {
    for (auto* one : all_) one->OnEnd(outcome);
  }

 private:
  const std::vector<CoordinatorObserver*> all_;
};

/// Tells the launcher of each generation that starts: a line with its number and the slots of its ranks.
class GenerationAnnouncer : public CoordinatorObserver {
 public:
  explicit GenerationAnnouncer(int fd) : fd_(fd) {}
  void OnStarted(const proto::StartGeneration& start, const ModelSize&) override {
    std::string line = absl::StrCat(start.envelope().generation());
    for (int rank = 0; rank < start.world_size(); ++rank) {
      absl::StrAppend(&line, " ", start.processes(rank).slot());
    }
    line.push_back('\n');
    // A launcher that does not read misses a number, and is not waited for.
    if (write(fd_, line.data(), line.size()) < 0) return;
  }
  void OnSteps(const std::vector<ClusterStep>&) override {}
  void OnReport(const proto::StepReport&) override {}
  void OnPolicy(const proto::CompressionPolicy&) override {}
  void OnWindow(const proto::WindowStatistics&) override {}
  void OnEnd(const std::variant<JobResult, proto::Failure>&) override {}

 private:
  const int fd_;
};

// More than CoordinatorState::kLeaveGrace, and less than the launcher waits (Supervisor::kSettle).
constexpr int kLeaveSeconds = 6;

// What a signal stops: the server, while there is one.
struct Stoppable {
  absl::Mutex mu;
  CoordinatorServer* server ABSL_GUARDED_BY(mu) = nullptr;
  int grace_seconds ABSL_GUARDED_BY(mu) = 0;  // for an orderly stop
};

absl::Status Announce(uint16_t port) {
  const int fd = absl::GetFlag(FLAGS_announce_fd);
  const std::string line = absl::StrCat(port, "\n");
  if (absl::GetFlag(FLAGS_recover)) return absl::OkStatus();  // known from the one before
  if (fd < 0) {
    std::fprintf(stderr, "coordinator listens on %s:%s", absl::GetFlag(FLAGS_bind).c_str(),
                 line.c_str());
    return absl::OkStatus();
  }
  if (write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return absl::UnavailableError("the launcher does not listen for the port");
  }
  return absl::OkStatus();
}

}  // namespace

int CoordinatorCommand(const CommandLine&) {
  SetLogIdentity(absl::StrCat("coordinator ", HostName()));
  // Outlives this function: the signal thread does.
  auto* const stoppable = new Stoppable;
  HandleSignals(
      [=](const Termination& end) {
        absl::MutexLock lock(&stoppable->mu);
        if (stoppable->server == nullptr) _exit(end.exit_code);
        stoppable->server->Stop(end.why, end.exit_code, !end.launcher_gone);
        const int grace = end.launcher_gone ? 0 : stoppable->grace_seconds;
        ExitAfter(grace + kLeaveSeconds, end.exit_code, end.why);
      },
      [=] {
        absl::MutexLock lock(&stoppable->mu);
        if (stoppable->server != nullptr) stoppable->server->RequestCheckpoint();
      });
  auto credentials = LoadCredentials(absl::GetFlag(FLAGS_credentials), absl::Now());
  if (!credentials.ok()) return ExitCodeFor(credentials.status());
  auto job = LoadResolvedJob();
  if (!job.ok()) return ExitCodeFor(job.status());

  const int port = absl::GetFlag(FLAGS_port);
  if (port < 0 || port > 65535) {
    std::fprintf(stderr, "orchestrator coordinator: --port %d: expected 0 to 65535\n", port);
    return kExitUsage;
  }
  auto profilers = ProfilersOf(*job);
  if (!profilers.ok()) return ExitCodeFor(profilers.status());

  ConsoleReporter::Options console;
  console.job = *job;
  console.run_directory = absl::GetFlag(FLAGS_run_directory);
  console.json = absl::GetFlag(FLAGS_json);
  console.verbose = absl::GetFlag(FLAGS_verbose);
  console.terminal = isatty(console.json ? STDERR_FILENO : STDOUT_FILENO) == 1;
  ConsoleReporter reporter(console);
  auto recorder = RunRecorder::Create(console.run_directory, *job, absl::GetFlag(FLAGS_recover));
  if (!recorder.ok()) return ExitCodeFor(recorder.status());
  std::vector<CoordinatorObserver*> all = {&reporter, recorder->get()};
  std::unique_ptr<MetricsExporter> metrics;
  if (const int metrics_port = job->report().metrics_port(); metrics_port >= 0) {
    auto exporter = MetricsExporter::Create(*job, static_cast<uint16_t>(metrics_port));
    if (!exporter.ok()) return ExitCodeFor(exporter.status());
    metrics = *std::move(exporter);
    all.push_back(metrics.get());
    SLUICE_LOG(Info, "metrics at http://127.0.0.1:", metrics->port(), "/metrics");
  }
  std::optional<CoordinatorChaos> chaos;
  if (const std::string path = absl::GetFlag(FLAGS_chaos); !path.empty()) {
    auto plan = LoadChaos(path, job->world().size());
    if (!plan.ok()) return ExitCodeFor(plan.status());
    all.push_back(&chaos.emplace(*std::move(plan), Chaos::RealEffects()));
  }
  std::optional<GenerationAnnouncer> announcer;
  if (const int fd = absl::GetFlag(FLAGS_announce_fd); fd >= 0) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    all.push_back(&announcer.emplace(fd));
  }
  Observers observers(std::move(all));

  CoordinatorServer::Options options;
  options.state.job_id = absl::GetFlag(FLAGS_job_id);
  options.state.job_digest = JobDigest(*job);
  options.state.self = ThisProcess(proto::ROLE_UNSPECIFIED);
  options.state.job = *job;
  options.state.recovering = absl::GetFlag(FLAGS_recover);
  options.state.profilers = *profilers;
  options.state.start_timeout = absl::Seconds(absl::GetFlag(FLAGS_start_timeout));
  options.stop_reason = LauncherGone;
  options.bind_host = absl::GetFlag(FLAGS_bind);
  options.port = static_cast<uint16_t>(port);
  options.credentials = *std::move(credentials);
  auto server = CoordinatorServer::Start(std::move(options), &observers);
  if (absl::IsUnavailable(server.status())) {
    const std::string owner = OwnerOfPort(port);
    SLUICE_LOG(Error, "SL1010 ", server.status().message(),
               owner.empty() ? "" : absl::StrCat(". It is in use by ", owner));
    return kExitUnreachable;
  }
  if (!server.ok()) return ExitCodeFor(server.status());
  {
    absl::MutexLock lock(&stoppable->mu);
    stoppable->server = server->get();
    stoppable->grace_seconds = static_cast<int>(std::ceil(job->checkpoint().grace_seconds()));
  }
  const absl::Status announced = Announce((*server)->port());
  const int code = announced.ok() ? (*server)->WaitEnd() : ExitCodeFor(announced);
  ExitAfter(kLeaveSeconds, code, "the end of the job");
  {
    absl::MutexLock lock(&stoppable->mu);
    stoppable->server = nullptr;  // from here on a signal ends the process at once
  }
  server->reset();
  return code;
}

}  // namespace sluice
