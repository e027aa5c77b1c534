#include "orchestrator/commands/elastic_roster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/log.h"

namespace sluice {
namespace {

// Between the end of a worker's grace and the launcher's: it notices by itself that it is too late.
constexpr absl::Duration kLeaveMargin = absl::Seconds(5);

HostPool::Options PoolOptions(const Launch& launch, bool discovers) {
  const proto::World& world = launch.job.world();
  HostPool::Options options;
  options.target = discovers ? world.max_size() : world.size();
  options.cooldown_min = absl::Seconds(world.cooldown_min_seconds());
  options.cooldown_max = absl::Seconds(world.cooldown_max_seconds());
  return options;
}

// Of "rank 3", with `kind` "rank "; -1 for all others.
int SlotOf(absl::string_view kind, absl::string_view name) {
  int slot = -1;
  return absl::ConsumePrefix(&name, kind) && absl::SimpleAtoi(name, &slot) ? slot : -1;
}

int64_t SlotsOf(const std::vector<HostSlots>& hosts) {
  int64_t slots = 0;
  for (const HostSlots& host : hosts) slots += host.slots;
  return slots;
}

}  // namespace

absl::StatusOr<std::vector<HostSlots>> AwaitHosts(DiscoveryScript& script, int workers, int least,
                                                  absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  std::set<std::string> told;
  std::vector<HostSlots> hosts;
  bool first = true;
  while (true) {
    DiscoveryScript::Answer answer = script.Ask();
    if (!answer.ok() && std::exchange(first, false)) {
      return absl::UnavailableError(
          absl::StrCat(answer.status().message(), ". It is its first run, so the job stops"));
    }
    first = false;
    if (!answer.ok()) {
      SLUICE_LOG(Warning, answer.status().message(), "; asking again");
    } else {
      for (const auto& problem : answer->problems) {
        if (told.insert(problem.line).second) SLUICE_LOG(Warning, problem.message);
      }
      hosts = std::move(answer->hosts);
    }
    const int64_t slots = SlotsOf(hosts);
    if (slots >= workers) return hosts;
    if (absl::Now() >= deadline) {
      if (slots >= least) return hosts;
      return absl::UnavailableError(absl::StrCat(
          "SL1020 ", least, " workers are needed, and for ", absl::FormatDuration(patience),
          " the discovery script has named hosts with ", slots,
          " slots: ", hosts.empty() ? "none" : ToString(hosts),
          ". Wait longer (--start-timeout), or ask for fewer (--min-np)"));
    }
    if (told.insert("waits").second) {
      SLUICE_LOG(Info, "waiting for hosts with ", workers, " slots; there are ", slots);
    }
    absl::SleepFor(DiscoveryScript::kPeriod);
  }
}

ElasticRoster::ElasticRoster(Launch* launch, std::unique_ptr<DiscoveryScript> script,
                             OutputFiles* files)
    : launch_(launch),
      pool_(PoolOptions(*launch, script != nullptr), launch->hosts, launch->placements),
      script_(std::move(script)),
      files_(files) {
  for (int slot = 0; slot < launch_->profilers; ++slot) {
    launch_->profiler_hosts[slot] = launch_->ProfilerHost(slot);  // ranks may move
  }
}

std::optional<ChildSpec> ElasticRoster::SpecOf(const std::string& kind, int slot) {
  if (kind == "worker") {
    const size_t index = static_cast<size_t>(slot);
    if (launch_->placements.size() <= index) launch_->placements.resize(index + 1);
    launch_->placements[index] = pool_.PlacementOf(slot);
    Launch::Incarnation& incarnation = launch_->incarnations[slot];
    // The earliest that it can take part in.
    incarnation.generation = line_->generation + 1;
    incarnation.size = std::max(1, pool_.workers());
    if (files_ != nullptr) {
      const absl::Status opened = files_->StartWorker(slot, incarnation.generation);
      if (!opened.ok()) SLUICE_LOG(Error, opened.message());
    }
  }
  auto spec = MemberSpec(*launch_, kind, slot, line_->coordinator);
  if (spec.ok()) return *std::move(spec);
  SLUICE_LOG(Error, spec.status().message());
  return std::nullopt;
}

void ElasticRoster::OnEnded(const std::string& name, int status, bool again) {
  if (const int profiler = SlotOf("profiler ", name); profiler >= 0) {
    if (profilers_leave_.count(profiler) > 0 && !again) profilers_are_gone_.insert(profiler);
    return;
  }
  const int slot = SlotOf("rank ", name);
  if (slot < 0) return;
  const auto said = pool_.OnEnded(slot, again ? HostPool::End::kFailed : HostPool::End::kLeft,
                                  DescribeWaitStatus(status), absl::Now());
  if (said.has_value()) SLUICE_LOG(Warning, *said);
}

std::optional<ChildSpec> ElasticRoster::Again(const std::string& name) {
  if (const int profiler = SlotOf("profiler ", name); profiler >= 0) {
    const int host = pool_.FirstUsable(absl::Now());
    if (host < 0) return std::nullopt;
    if (!pool_.listed(launch_->ProfilerHost(profiler))) launch_->profiler_hosts[profiler] = host;
    return SpecOf("profiler", profiler);
  }
  const int slot = SlotOf("rank ", name);
  if (!pool_.Place(slot, absl::Now())) {
    if (waiting_.insert(slot).second) {
      SLUICE_LOG(Warning, name, " waits for a place: there is no free slot on hosts ",
                 pool_.Describe(absl::Now()));
    }
    return std::nullopt;
  }
  waiting_.erase(slot);
  const std::string& host = pool_.hosts()[pool_.PlacementOf(slot).host].host;
  if (host != HostOf(*launch_, "worker", slot)) SLUICE_LOG(Info, name, " moves to host ", host);
  ++launch_->incarnations[slot].restarts;
  return SpecOf("worker", slot);
}

void ElasticRoster::TakeOver(DiscoveredHosts found) {
  for (const auto& problem : found.problems) {
    if (told_.insert(problem.line).second) SLUICE_LOG(Warning, problem.message);
  }
  // Others could not reach the coordinator.
  const auto beyond_reach = [&](const HostSlots& host) {
    if (!absl::StartsWith(launch_->coordinator_host, "127.") || IsLocal(*launch_, host.host)) {
      return false;
    }
    if (told_.insert(host.host).second) {
      SLUICE_LOG(
          Warning, "host ", host.host,
          " is not used: all hosts were this one at the start, so the coordinator listens on ",
          launch_->coordinator_host, " alone. Choose the network: --network-interface NAME");
    }
    return true;
  };
  found.hosts.erase(std::remove_if(found.hosts.begin(), found.hosts.end(), beyond_reach),
                    found.hosts.end());
  for (const std::string& change : pool_.SetHosts(found.hosts)) SLUICE_LOG(Info, change);
  launch_->hosts = pool_.hosts();
  for (size_t i = launch_->is_local.size(); i < launch_->hosts.size(); ++i) {
    launch_->is_local.push_back(IsLocal(*launch_, launch_->hosts[i].host));
  }
}

void ElasticRoster::LookForHosts() {
  if (script_ == nullptr) return;
  std::optional<DiscoveryScript::Answer> answer = script_->Poll();
  if (!answer.has_value()) return;
  const std::string failing = answer->ok() ? "" : std::string(answer->status().message());
  if (failing != failing_) {
    if (answer->ok()) {
      SLUICE_LOG(Info, "the discovery script works again");
    } else {
      SLUICE_LOG(Warning, failing, ". The last list stays: ", pool_.Describe(absl::Now()));
    }
    failing_ = failing;
  }
  if (answer->ok()) TakeOver(**std::move(answer));
}

// Its host may be removed like a worker's.
void ElasticRoster::MoveProfiler(int slot, Supervisor& supervisor) {
  if (profilers_leave_.count(slot) == 0 && !pool_.listed(launch_->ProfilerHost(slot)) &&
      // One that waits to be started again is moved then.
      supervisor.Retire(absl::StrCat("profiler ", slot), kLeaveMargin)) {
    profilers_leave_.insert(slot);
  }
  const int host = pool_.FirstUsable(absl::Now());
  if (profilers_are_gone_.count(slot) == 0 || host < 0) return;
  profilers_leave_.erase(slot);
  profilers_are_gone_.erase(slot);
  launch_->profiler_hosts[slot] = host;
  if (const std::optional<ChildSpec> spec = SpecOf("profiler", slot)) {
    const absl::Status started = supervisor.Start(*spec);
    if (!started.ok()) SLUICE_LOG(Error, started.message());
  }
}

void ElasticRoster::OnTick(Supervisor& supervisor) {
  if (line_ == nullptr) return;
  line_->ReadGenerations();
  pool_.OnGeneration(line_->generation, line_->slots);
  LookForHosts();
  const absl::Time now = absl::Now();
  for (int slot : pool_.TakeLeavers()) {
    SLUICE_LOG(Info, "rank ", slot, " on host ", HostOf(*launch_, "worker", slot),
               " is told to leave");
    // Nobody else holds the state: it leaves when others have it, however long they take to come.
    const absl::Duration grace =
        pool_.HolderStays()
            ? absl::Seconds(launch_->job.checkpoint().grace_seconds()) + kLeaveMargin
            : absl::InfiniteDuration();
    supervisor.Retire(absl::StrCat("rank ", slot), grace);
  }
  for (int slot : pool_.TakeNew(now)) {
    const std::optional<ChildSpec> spec = SpecOf("worker", slot);
    const absl::Status started =
        spec.has_value() ? supervisor.Start(*spec) : absl::InternalError("it has no command");
    if (started.ok()) {
      SLUICE_LOG(Info, "started rank ", slot, " on host ", HostOf(*launch_, "worker", slot));
    } else {
      SLUICE_LOG(Error, started.message());
      (void)pool_.OnEnded(slot, HostPool::End::kLeft, "cannot be started", now);
    }
  }
  for (int slot = 0; slot < launch_->profilers; ++slot) MoveProfiler(slot, supervisor);
  if (const std::string nobody = pool_.TakeNobodyLeft(now); !nobody.empty()) {
    SLUICE_LOG(Error, nobody, ". The job ends when fewer than --min-np workers are left for ",
               launch_->job.world().elastic_timeout_seconds(), " s (--elastic-timeout)");
  }
}

}  // namespace sluice
