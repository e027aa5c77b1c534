#include "actors/stall_detector.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {
namespace {

constexpr size_t kStepsKept = 64;        // for the median
constexpr size_t kMostOpenSteps = 4096;  // a rank that reports nothing must not fill the memory
constexpr size_t kLeastSlowSteps = 3;
constexpr size_t kMostLayersNamed = 6;
constexpr absl::Duration kOwnPause = absl::Seconds(1);

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::string Who(int rank, const proto::ProcessInfo& process) {
  return absl::StrCat("rank ", rank, " (host ", process.host(), ", pid ", process.pid(), ")");
}

std::string SecondsText(absl::Duration duration) {
  return absl::StrFormat("%.0f s", absl::ToDoubleSeconds(duration));
}

// ", 3 ranks wait for it in bucket 2 ("fc.weight", "fc.bias")"
std::string Victims(const Finding& finding) {
  if (finding.waiting_ranks == 0) return "";
  std::string text =
      absl::StrCat(", ", finding.waiting_ranks,
                   finding.waiting_ranks == 1 ? " rank waits" : " ranks wait", " for it");
  if (finding.bucket < 0) return text;
  absl::StrAppend(&text, " in bucket ", finding.bucket);
  for (size_t i = 0; i < std::min(finding.layers.size(), kMostLayersNamed); ++i) {
    absl::StrAppend(&text, i == 0 ? " (\"" : ", \"", finding.layers[i], "\"");
  }
  if (finding.layers.size() > kMostLayersNamed) {
    absl::StrAppend(&text, " and ", finding.layers.size() - kMostLayersNamed, " more");
  }
  return text + (finding.layers.empty() ? "" : ")");
}

}  // namespace

const char* PhaseName(proto::WorkPhase phase) {
  switch (phase) {
    case proto::WORK_PHASE_SYNC:
      return "sync";
    case proto::WORK_PHASE_DATA:
      return "data";
    case proto::WORK_PHASE_COMPUTE:
      return "compute";
    case proto::WORK_PHASE_REDUCE:
      return "reduce";
    case proto::WORK_PHASE_OPTIMIZER:
      return "optimizer";
    case proto::WORK_PHASE_DECISION:
      return "decision";
    case proto::WORK_PHASE_CHECKPOINT:
      return "checkpoint";
    case proto::WORK_PHASE_EVALUATION:
      return "evaluation";
    case proto::WORK_PHASE_COLLECTIVE:
      return "collective";
    default:
      return "unknown";
  }
}

const char* KindName(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::kSilent:
      return "silent";
    case Finding::Kind::kStalled:
      return "stalled";
    case Finding::Kind::kSlow:
      return "slow";
  }
  return "";
}

const char* StateName(Finding::State state) {
  switch (state) {
    case Finding::State::kFound:
      return "found";
    case Finding::State::kGoesOn:
      return "goes_on";
    case Finding::State::kResolved:
      return "resolved";
  }
  return "";
}

void StallDetector::OnStart(const proto::StartGeneration& start, const BucketLayout* layout,
                            absl::Time now) {
  ranks_.clear();
  for (int r = 0; r < start.world_size(); ++r) {
    OfRank& rank = ranks_.emplace_back();
    if (r < start.processes_size()) rank.process = start.processes(r);
    rank.heard = rank.progress = now;
    rank.lag.rank = r;
    rank.lag.process = rank.process;
  }
  layers_.clear();
  for (size_t b = 0; layout != nullptr && b < layout->buckets().size(); ++b) {
    std::vector<std::string>& names = layers_.emplace_back();
    for (int tensor : layout->buckets()[b].tensors) {
      names.push_back(layout->tensors()[tensor].name);
    }
  }
  stalled_ranks_.clear();
  slow_ranks_.clear();
  steps_.clear();
  window_.clear();
  window_seconds_ = 0;
  last_tick_ = now;
}

void StallDetector::OnHeartbeat(const proto::Heartbeat& heartbeat, absl::Time now) {
  if (heartbeat.rank() < 0 || heartbeat.rank() >= static_cast<int>(ranks_.size())) return;
  OfRank& rank = ranks_[static_cast<size_t>(heartbeat.rank())];
  const proto::Heartbeat& before = rank.last;
  const absl::Time since = now - absl::Seconds(std::max(0.0, heartbeat.seconds_in_phase()));
  if (!rank.heard_of || heartbeat.step() != before.step() || heartbeat.phase() != before.phase()) {
    rank.progress = std::max(rank.progress, since);
  } else if (heartbeat.bucket() != before.bucket() ||
             !std::equal(heartbeat.waiting_for().begin(), heartbeat.waiting_for().end(),
                         before.waiting_for().begin(), before.waiting_for().end())) {
    rank.progress = now;
  }
  rank.last = heartbeat;
  rank.heard_of = true;
  rank.heard = now;
  for (double& count : rank.phases) count *= 0.9;
  if (heartbeat.phase() >= 0 && heartbeat.phase() < proto::WorkPhase_ARRAYSIZE) {
    rank.phases[static_cast<size_t>(heartbeat.phase())] += 1;
  }
}

void StallDetector::OnDone(int rank) {
  if (rank >= 0 && rank < static_cast<int>(ranks_.size())) {
    ranks_[static_cast<size_t>(rank)].done = true;
  }
}

void StallDetector::OnStepReport(const proto::StepReport& report) {
  const auto world = static_cast<int>(ranks_.size());
  if (report.rank() < 0 || report.rank() >= world) return;
  for (const proto::StepRecord& record : report.steps()) {
    step_seconds_.push_back(record.step_seconds());
    if (step_seconds_.size() > kStepsKept) step_seconds_.pop_front();
    OpenStep& open = steps_[record.step()];
    open.exposed.resize(static_cast<size_t>(world));
    open.exposed[static_cast<size_t>(report.rank())] = record.exposed_seconds();
    open.seconds = std::max(open.seconds, record.step_seconds());
    if (++open.reports < world) continue;
    AddStep(record.step(), open.seconds, open.exposed);
    steps_.erase(record.step());
  }
  while (steps_.size() > kMostOpenSteps) steps_.erase(steps_.begin());
}

void StallDetector::AddStep(int64_t step, double seconds, const std::vector<double>& exposed) {
  if (exposed.size() < 2) return;
  StepLags lags;
  lags.seconds = seconds;
  lags.last = static_cast<int>(std::min_element(exposed.begin(), exposed.end()) - exposed.begin());
  for (size_t r = 0; r < exposed.size(); ++r) {
    std::vector<double> others = exposed;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(r));
    lags.lag.push_back(Median(std::move(others)) - exposed[r]);
    ranks_[r].lag.steps += 1;
    ranks_[r].lag.lag_seconds += lags.lag.back();
  }
  ranks_[static_cast<size_t>(lags.last)].lag.last_in_steps += 1;
  window_end_ = step;
  window_seconds_ += seconds;
  window_.push_back(std::move(lags));
  while (window_.size() > kLeastSlowSteps &&
         window_seconds_ - window_.front().seconds >= absl::ToDoubleSeconds(kSlowWindow)) {
    window_seconds_ -= window_.front().seconds;
    window_.pop_front();
  }
}

bool StallDetector::Silent(const OfRank& rank, absl::Time now) const {
  // Before its first heartbeat a rank still starts.
  return rank.heard_of && !rank.done && now - rank.heard > kSilence;
}

absl::Duration StallDetector::Limit() const {
  if (step_seconds_.empty()) return std::max(options_.warning, kFirstStep);
  return std::max(options_.warning,
                  absl::Seconds(3 * Median({step_seconds_.begin(), step_seconds_.end()})));
}

absl::Duration StallDetector::LimitOf(proto::WorkPhase phase) const {
  switch (phase) {
    case proto::WORK_PHASE_DATA:
    case proto::WORK_PHASE_COMPUTE:
    case proto::WORK_PHASE_OPTIMIZER:
      return Limit();
    case proto::WORK_PHASE_SYNC:
      return std::max(Limit(), absl::Minutes(1));
    case proto::WORK_PHASE_CHECKPOINT:
      return std::max(Limit(), absl::Minutes(2));
    case proto::WORK_PHASE_EVALUATION:
      return std::max(Limit(), absl::Minutes(10));
    default:  // start and decisions are the coordinator's business; in REDUCE it waits for others
      return absl::InfiniteDuration();
  }
}

void StallDetector::FollowWaits(int from, absl::Time now, std::set<int>& roots,
                                std::set<int>& visited) const {
  for (int next : ranks_[static_cast<size_t>(from)].last.waiting_for()) {
    if (next < 0 || next >= static_cast<int>(ranks_.size())) continue;
    const OfRank& rank = ranks_[static_cast<size_t>(next)];
    if (rank.done || !rank.heard_of) continue;
    if (Silent(rank, now) || rank.last.phase() != proto::WORK_PHASE_REDUCE) {
      roots.insert(next);
    } else if (visited.insert(next).second) {
      FollowWaits(next, now, roots, visited);
    }
  }
}

std::map<int, StallDetector::Cause> StallDetector::Causes(absl::Time now) const {
  std::map<int, Cause> causes;
  const absl::Duration limit = Limit();
  const auto world = static_cast<int>(ranks_.size());
  for (int r = 0; r < world; ++r) {
    const OfRank& rank = ranks_[static_cast<size_t>(r)];
    if (rank.done || !rank.heard_of) continue;
    if (Silent(rank, now)) {
      causes[r] = {Finding::Kind::kSilent, rank.heard};
    } else if (now - rank.progress > LimitOf(rank.last.phase())) {
      causes[r] = {Finding::Kind::kStalled, rank.progress};
    }
  }
  std::map<int, int> waited_for_in_a_ring;
  absl::Time ring_since = now;
  int ring_bucket = -1;
  bool ring_moves = false;
  for (int r = 0; r < world; ++r) {
    const OfRank& rank = ranks_[static_cast<size_t>(r)];
    if (rank.done || !rank.heard_of || Silent(rank, now) ||
        rank.last.phase() != proto::WORK_PHASE_REDUCE) {
      continue;
    }
    std::set<int> roots, visited = {r};
    FollowWaits(r, now, roots, visited);
    const bool stuck = now - rank.progress > limit;
    for (int root : roots) {
      auto found = causes.find(root);
      if (found == causes.end()) {
        // In a phase that may take longer, or one that ends when the coordinator answers: no culprit.
        const OfRank& suspect = ranks_[static_cast<size_t>(root)];
        if (!stuck || LimitOf(suspect.last.phase()) > limit) continue;
        if (suspect.progress >= rank.heard) continue;  // it has moved since the victim last spoke
        found = causes.insert({root, {Finding::Kind::kStalled, rank.progress}}).first;
      }
      ++found->second.waiting;
      if (found->second.bucket < 0) found->second.bucket = rank.last.bucket();
    }
    if (!roots.empty()) continue;
    // All that it waits for wait as well. That is a ring only if nobody in it moves.
    ring_moves = ring_moves || !stuck;
    if (!stuck) continue;
    ring_since = std::min(ring_since, rank.progress);
    if (ring_bucket < 0) ring_bucket = rank.last.bucket();
    for (int next : rank.last.waiting_for()) ++waited_for_in_a_ring[next];
  }
  if (!waited_for_in_a_ring.empty() && !ring_moves) {
    const auto most =
        std::max_element(waited_for_in_a_ring.begin(), waited_for_in_a_ring.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most->first >= 0 && most->first < world) {
      causes.insert(
          {most->first, {Finding::Kind::kStalled, ring_since, true, ring_bucket, most->second}});
    }
  }
  return causes;
}

Finding StallDetector::Describe(int r, const Cause& cause, absl::Time now) const {
  const OfRank& rank = ranks_[static_cast<size_t>(r)];
  Finding finding;
  finding.id = "SL2102";
  finding.kind = cause.kind;
  finding.rank = r;
  finding.process = rank.process;
  finding.step = rank.last.step();
  finding.phase = rank.last.phase();
  finding.bucket = cause.bucket;
  if (cause.bucket >= 0 && cause.bucket < static_cast<int>(layers_.size())) {
    finding.layers = layers_[static_cast<size_t>(cause.bucket)];
  }
  finding.waiting_ranks = cause.waiting;
  finding.lasted = now - cause.since;
  const std::string at = absl::StrCat(PhaseName(finding.phase), " of step ", finding.step);
  const std::string lasted = SecondsText(finding.lasted);
  const std::string who = Who(r, rank.process);
  if (cause.kind == Finding::Kind::kSilent) {
    finding.text =
        absl::StrCat("SL2102 ", who, " is silent for ", lasted, ", last seen in ", at,
                     Victims(finding), ". Its connection stands: stopped, swapped out or cut off?");
  } else if (cause.network) {
    finding.text = absl::StrCat("SL2102 nothing arrives from ", who, " for ", lasted,
                                ", although it takes part in step ", finding.step, Victims(finding),
                                ". Is its network up?");
  } else {
    finding.text = absl::StrCat("SL2102 ", who, " is alive but makes no progress for ", lasted,
                                ", in ", at, Victims(finding));
  }
  return finding;
}

std::optional<Finding> StallDetector::Slow(int r) const {
  if (window_.size() < kLeastSlowSteps || window_seconds_ < absl::ToDoubleSeconds(kSlowWindow)) {
    return std::nullopt;
  }
  const bool open = slow_ranks_.count(r) > 0;
  double lag = 0;
  size_t last = 0;
  for (const StepLags& step : window_) {
    lag += step.lag[static_cast<size_t>(r)];
    last += step.last == r ? 1 : 0;
  }
  // One that was named is named until it is clearly better.
  const double least = open ? 0.5 : 1.0;
  const double share = lag / window_seconds_;
  const double last_share = static_cast<double>(last) / static_cast<double>(window_.size());
  if (share <= least * kSlowShare || last_share <= least * kSlowLast) return std::nullopt;
  const OfRank& rank = ranks_[static_cast<size_t>(r)];
  Finding finding;
  finding.id = "SL2101";
  finding.kind = Finding::Kind::kSlow;
  finding.rank = r;
  finding.process = rank.process;
  finding.step = window_end_;
  size_t busiest = proto::WORK_PHASE_UNSPECIFIED;
  for (size_t phase = 0; phase < rank.phases.size(); ++phase) {
    if (phase != proto::WORK_PHASE_REDUCE && rank.phases[phase] > rank.phases[busiest]) {
      busiest = phase;
    }
  }
  finding.phase = static_cast<proto::WorkPhase>(busiest);
  finding.waiting_ranks = static_cast<int>(ranks_.size()) - 1;
  finding.lag_seconds = lag / static_cast<double>(window_.size());
  finding.share = share;
  finding.text = absl::StrFormat(
      "SL2101 %s is slow: last in %.0f %% of the steps since step %d, %.0f ms behind the median "
      "(%.0f %% of a step of %.0f ms), mostly in %s",
      Who(r, rank.process), 100 * last_share,
      window_end_ + 1 - static_cast<int64_t>(window_.size()), 1e3 * finding.lag_seconds,
      100 * share, 1e3 * window_seconds_ / static_cast<double>(window_.size()),
      PhaseName(finding.phase));
  return finding;
}

void StallDetector::Tell(int rank, Finding finding, absl::Time since, absl::Time now,
                         std::map<int, Open>& open, std::vector<Finding>& out) {
  const auto [entry, fresh] = open.try_emplace(rank);
  Open& one = entry->second;
  if (fresh) {
    one.since = since;
    one.gap = Limit();
    if (finding.kind != Finding::Kind::kSlow) ++stalls_;
  }
  one.since = std::min(one.since, since);
  finding.lasted = now - one.since;
  const bool dead = finding.kind == Finding::Kind::kSilent &&
                    options_.dead_after > absl::ZeroDuration() &&
                    now - since >= options_.dead_after;
  const bool too_long = finding.kind != Finding::Kind::kSlow &&
                        options_.shutdown > absl::ZeroDuration() &&
                        finding.lasted >= options_.shutdown;
  finding.shutdown = (dead || too_long) && !one.shutdown_told;
  one.finding = finding;
  if (!fresh && now < one.next && !finding.shutdown) return;
  finding.state = fresh ? Finding::State::kFound : Finding::State::kGoesOn;
  if (finding.shutdown) {
    one.shutdown_told = true;
    absl::StrAppend(&finding.text, ". That is longer than ",
                    dead ? "world.dead_after_seconds" : "report.stall_shutdown_seconds");
  }
  one.next = now + one.gap;
  one.gap *= 2;
  out.push_back(std::move(finding));
}

void StallDetector::EndOthers(const std::set<int>& still, absl::Time now, std::map<int, Open>& open,
                              std::vector<Finding>& out) {
  for (auto one = open.begin(); one != open.end();) {
    if (still.count(one->first) > 0) {
      ++one;
      continue;
    }
    Finding finding = one->second.finding;
    finding.state = Finding::State::kResolved;
    finding.shutdown = false;
    finding.lasted = now - one->second.since;
    finding.text = absl::StrCat(finding.id, " ", Who(finding.rank, finding.process), " is ",
                                KindName(finding.kind), " no more: resolved after ",
                                SecondsText(finding.lasted));
    if (finding.kind != Finding::Kind::kSlow) stalled_ += finding.lasted;
    out.push_back(std::move(finding));
    one = open.erase(one);
  }
}

std::vector<Finding> StallDetector::OnTick(absl::Time now) {
  if (last_tick_ && now - *last_tick_ > kOwnPause) {
    for (OfRank& rank : ranks_) {
      rank.heard = std::min(now, rank.heard + (now - *last_tick_));
      rank.progress = std::min(now, rank.progress + (now - *last_tick_));
    }
  }
  last_tick_ = now;
  std::vector<Finding> out;
  std::set<int> stalled, slow;
  for (const auto& [rank, cause] : Causes(now)) {
    stalled.insert(rank);
    Tell(rank, Describe(rank, cause, now), cause.since, now, stalled_ranks_, out);
  }
  EndOthers(stalled, now, stalled_ranks_, out);
  for (int r = 0; r < static_cast<int>(ranks_.size()); ++r) {
    std::optional<Finding> finding = Slow(r);
    if (!finding) continue;
    slow.insert(r);
    Tell(r, *std::move(finding), now, now, slow_ranks_, out);
  }
  EndOthers(slow, now, slow_ranks_, out);
  return out;
}

std::vector<RankLag> StallDetector::lags() const {
  std::vector<RankLag> lags;
  for (const OfRank& rank : ranks_) lags.push_back(rank.lag);
  return lags;
}

}  // namespace sluice
