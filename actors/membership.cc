#include "actors/membership.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/exit_codes.h"

namespace sluice {
namespace {

// Generations in a row that end before they have completed a step, after which the job is given up.
constexpr int kMostFruitless = 10;

bool IsWorker(const Membership::Member& member) {
  return member.process.role() == proto::ROLE_WORKER;
}

void Append(Membership::Orders& to, Membership::Orders more) {
  for (Membership::Order& order : more) to.push_back(std::move(order));
}

}  // namespace

std::string Describe(const proto::ProcessInfo& process) {
  const char* role = process.role() == proto::ROLE_PROFILER ? "profiler"
                     : process.role() == proto::ROLE_WORKER ? "rank"
                                                            : "coordinator";
  const std::string who = process.role() == proto::ROLE_UNSPECIFIED
                              ? std::string(role)
                              : absl::StrCat(role, " ", process.slot());
  return absl::StrCat(who, " (host ", process.host(), ", pid ", process.pid(), ")");
}

Membership::Membership(const Options& options, absl::Time now)
    : options_(options), forming_since_(now) {}

Membership::Orders Membership::OnJoin(MemberId id, const proto::ProcessInfo& process,
                                      int64_t completed, absl::Time now) {
  if (phase_ == Phase::kOver) return {};
  Member& member = members_[id];
  if (phase_ == Phase::kRunning && member.current) {
    // It has given up the generation by itself, so the others cannot go on with it either.
    Orders orders =
        EndGeneration(absl::StrCat(Describe(process), " has left the generation"), {}, now);
    if (phase_ == Phase::kOver) return orders;
    member.joined = true;
    member.completed = completed;
    Append(orders, MayGo(id) ? LetGo(id, now) : StartIfReady(now, false));
    return orders;
  }
  member.process = process;
  // Steps before a boundary may take long, and evaluations: the others are waited for from the first one on.
  if (member.current && member.rank >= 0) AwaitOthers(now);
  member.joined = true;
  member.completed = completed;
  if (MayGo(id)) return LetGo(id, now);
  return phase_ == Phase::kForming ? StartIfReady(now, false) : HoldIfWanted();
}

Membership::Orders Membership::OnLeave(MemberId id, const std::string& why, absl::Time now) {
  const auto found = members_.find(id);
  if (phase_ == Phase::kOver || found == members_.end()) return {};
  found->second.leaving = why;
  const bool in_step = found->second.rank >= 0 && found->second.current && !found->second.joined;
  const bool rank_of_this = phase_ == Phase::kRunning && found->second.rank >= 0;
  // A rank that is on its way to the next generation is let go when it gets there.
  if (!rank_of_this && !in_step && MayGo(id)) return LetGo(id, now);
  return HoldIfWanted();
}

Membership::Orders Membership::OnModel() {
  without_model_ = false;
  return HoldIfWanted();
}

// Whether a member that wants to leave can: a rank must stay that holds what this generation has computed.
bool Membership::MayGo(MemberId id) const {
  const Member& member = members_.at(id);
  if (member.leaving.empty()) return false;
  if (!IsWorker(member)) return true;
  return std::any_of(members_.begin(), members_.end(), [&](const auto& entry) {
    return entry.first != id && entry.second.rank >= 0 && entry.second.current &&
           entry.second.leaving.empty();
  });
}

Membership::Orders Membership::LetGo(MemberId id, absl::Time now) {
  const Member member = members_.at(id);
  members_.erase(id);
  Orders orders = {Dismiss{id, absl::StrCat("leaves the job: ", member.leaving), true}};
  if (phase_ == Phase::kForming) {
    Append(orders, StartIfReady(now, false));
  } else if (member.current && !IsWorker(member)) {
    orders.push_back(
        ProfilerLost{id, absl::StrCat(Describe(member.process), " leaves"), CurrentProfilers()});
  }
  return orders;
}

void Membership::Recover(int64_t generation) {
  if (!formed_) generation_ = std::max(generation_, generation);
}

Membership::Orders Membership::OnLost(MemberId id, const std::string& how, absl::Time now) {
  auto found = members_.find(id);
  if (found == members_.end()) return {};
  const Member lost = found->second;
  members_.erase(found);
  if (phase_ == Phase::kOver) return {};
  const std::string cause = absl::StrCat(Describe(lost.process), " is gone: ", how);
  if (!options_.elastic()) return FailWith(lost.process, cause, kExitTraining);
  if (!lost.current) return phase_ == Phase::kForming ? StartIfReady(now, false) : Orders();
  if (!IsWorker(lost)) {
    if (phase_ == Phase::kRunning) return {ProfilerLost{id, cause, CurrentProfilers()}};
    return StartIfReady(now, false);
  }
  if (phase_ == Phase::kRunning) {
    Orders orders = EndGeneration(cause, {lost.process}, now);
    if (phase_ != Phase::kOver) Append(orders, StartIfReady(now, false));
    return orders;
  }
  Orders orders;
  if (!lost.joined) orders = GiveUp(cause, {lost.process}, now);
  Append(orders, StartIfReady(now, false));
  return orders;
}

// On the way to a boundary: those that are in a step with a rank that is lost would wait for ever.
Membership::Orders Membership::GiveUp(const std::string& reason,
                                      std::vector<proto::ProcessInfo> lost, absl::Time now) {
  AwaitOthers(now);
  if (std::exchange(given_up_, true)) return {};
  End end{{}, reason, std::move(lost)};
  for (const auto& [id, member] : members_) {
    if (member.current && !member.joined) end.members.push_back(id);
  }
  if (end.members.empty()) return {};
  return {std::move(end)};
}

void Membership::Rename(MemberId old, MemberId fresh) {
  auto found = members_.find(old);
  if (found == members_.end()) return;
  members_[fresh] = found->second;
  members_.erase(old);
}

Membership::Orders Membership::OnTrouble(const std::string& cause, absl::Time now) {
  if (phase_ == Phase::kRunning) return EndGeneration(cause, {}, now);
  return phase_ == Phase::kForming && formed_ ? GiveUp(cause, {}, now) : Orders();
}

Membership::Orders Membership::EndGeneration(const std::string& reason,
                                             std::vector<proto::ProcessInfo> lost, absl::Time now) {
  ++resets_;
  last_end_ = reason;
  if (options_.reset_limit > 0 && resets_ > options_.reset_limit) {
    return FailWith(
        lost.empty() ? proto::ProcessInfo() : lost.front(),
        absl::StrCat(reason, "; that is change ", resets_, " of membership, and the limit is ",
                     options_.reset_limit, " (--reset-limit)"),
        kExitRetry);
  }
  BeginForming(now);
  given_up_ = true;
  End end{{}, reason, std::move(lost)};
  for (const auto& [id, member] : members_) {
    if (member.current) end.members.push_back(id);
  }
  return {std::move(end)};
}

void Membership::AwaitOthers(absl::Time now) {
  if (std::exchange(to_boundary_, false)) forming_since_ = now;
}

void Membership::BeginForming(absl::Time now) {
  phase_ = Phase::kForming;
  forming_since_ = now;
  told_waiting_ = false;
  given_up_ = false;
  to_boundary_ = false;
  // What could not be agreed on any more is asked of the next generation.
  if (holding_.has_value() &&
      (holding_->checkpoint || holding_->then == proto::Boundary::THEN_LEAVE)) {
    if (!next_.has_value()) next_.emplace();
    next_->checkpoint |= holding_->checkpoint;
    if (holding_->then == proto::Boundary::THEN_LEAVE) next_->then = holding_->then;
    next_->reason = holding_->reason;
  }
  holding_.reset();
  for (auto& [id, member] : members_) {
    member.begun.reset();
    if (member.current) member.joined = false;
  }
}

std::vector<Membership::MemberId> Membership::Ranks() const {
  std::vector<MemberId> ranks;
  for (const auto& [id, member] : members_) {
    if (member.rank >= 0) ranks.push_back(id);
  }
  return ranks;
}

bool Membership::SurvivorsMissing() const {
  return std::any_of(members_.begin(), members_.end(), [](const auto& entry) {
    return entry.second.current && !entry.second.joined;
  });
}

std::vector<Membership::MemberId> Membership::JoinedInOrder(proto::Role role) const {
  std::vector<MemberId> ids;
  for (const auto& [id, member] : members_) {
    if (member.joined && member.process.role() == role) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end(), [this](MemberId a, MemberId b) {
    const auto key = [this](MemberId id) {
      const Member& member = members_.at(id);
      return std::make_tuple(!member.current, member.rank, member.process.slot(), id);
    };
    return key(a) < key(b);
  });
  return ids;
}

Membership::Orders Membership::StartIfReady(absl::Time now, bool late) {
  if (SurvivorsMissing()) return {};
  std::vector<MemberId> workers = JoinedInOrder(proto::ROLE_WORKER);
  const int count = static_cast<int>(workers.size());
  const bool first = !formed_;
  if (first && !late) {
    const int profilers = static_cast<int>(JoinedInOrder(proto::ROLE_PROFILER).size());
    if (count < options_.workers || profilers < options_.profilers) return {};
  } else if (count < std::max(options_.min_workers, 1)) {
    return {};
  } else if (first && generation_ == 0 && options_.needs_slot_zero &&
             members_.at(workers.front()).process.slot() != 0) {
    return {};
  }
  if (options_.max_workers > 0 && count > options_.max_workers) workers = Chosen();
  const bool held = std::any_of(workers.begin(), workers.end(),
                                [this](MemberId id) { return members_.at(id).current; });
  if (!first && !held) {
    return FailWith({},
                    absl::StrCat("no process of generation ", generation_,
                                 " is left, so nobody holds what it computed; go on from a "
                                 "checkpoint with --resume auto"),
                    kExitRetry);
  }
  Start start = MakeStart(workers);
  fruitless_ = !first && start.start_step == last_start_step_ ? fruitless_ + 1 : 0;
  if (fruitless_ >= kMostFruitless) {
    return FailWith(
        {},
        absl::StrCat("no step was completed in ", fruitless_, " generations in a row; step ",
                     start.start_step, " cannot be passed. The last one ended because ", last_end_),
        kExitTraining);
  }
  last_start_step_ = start.start_step;
  Orders orders;
  orders.push_back(std::move(start));
  std::vector<MemberId> spare;  // that need not stay any more
  for (const auto& [id, member] : members_) {
    if (member.joined && !member.current && MayGo(id)) spare.push_back(id);
  }
  for (MemberId id : spare) Append(orders, LetGo(id, now));
  Append(orders, HoldIfWanted());
  return orders;
}

// As many as there is room for: those that stay come first, but one that holds the state must be among them.
std::vector<Membership::MemberId> Membership::Chosen() const {
  const std::vector<MemberId> all = JoinedInOrder(proto::ROLE_WORKER);
  std::vector<MemberId> chosen = all;
  std::stable_partition(chosen.begin(), chosen.end(),
                        [this](MemberId id) { return members_.at(id).leaving.empty(); });
  const auto holds = [this](MemberId id) { return members_.at(id).current; };
  const auto end = chosen.begin() + options_.max_workers;
  if (std::none_of(chosen.begin(), end, holds)) {
    const auto holder = std::find_if(end, chosen.end(), holds);
    if (holder != chosen.end()) std::iter_swap(end - 1, holder);
  }
  chosen.resize(static_cast<size_t>(options_.max_workers));
  std::vector<MemberId> in_order;
  for (MemberId id : all) {
    if (std::find(chosen.begin(), chosen.end(), id) != chosen.end()) in_order.push_back(id);
  }
  return in_order;
}

Membership::Start Membership::MakeStart(const std::vector<MemberId>& workers) {
  Start start;
  start.workers = workers;
  start.profilers = JoinedInOrder(proto::ROLE_PROFILER);
  if (start.profilers.size() > static_cast<size_t>(options_.profilers)) {
    start.profilers.resize(static_cast<size_t>(options_.profilers));
  }
  for (MemberId id : start.workers) {
    start.start_step = std::max(start.start_step, members_.at(id).completed);
  }
  for (auto& [id, member] : members_) member.rank = -1;
  for (size_t rank = 0; rank < start.workers.size(); ++rank) {
    Member& member = members_.at(start.workers[rank]);
    member.rank = static_cast<int>(rank);
    if (member.completed < start.start_step) start.ranks_to_sync.push_back(member.rank);
  }
  const auto source = std::find_if(start.workers.begin(), start.workers.end(), [&](MemberId id) {
    return members_.at(id).completed == start.start_step;
  });
  start.source_rank = static_cast<int>(source - start.workers.begin());
  for (auto& [id, member] : members_) {
    member.current = member.rank >= 0 || std::find(start.profilers.begin(), start.profilers.end(),
                                                   id) != start.profilers.end();
  }
  start.generation = ++generation_;
  formed_ = true;
  world_size_ = static_cast<int>(start.workers.size());
  phase_ = Phase::kRunning;
  leaving_ = false;
  without_model_ = options_.late_model;
  return start;
}

int Membership::CurrentProfilers() const {
  return static_cast<int>(std::count_if(members_.begin(), members_.end(), [](const auto& entry) {
    return entry.second.current && !IsWorker(entry.second);
  }));
}

bool Membership::SomebodyWantsIn() const {
  int staying = 0;
  bool worker = false;
  bool profiler = false;
  for (const auto& [id, member] : members_) {
    staying += member.rank >= 0 && member.leaving.empty() ? 1 : 0;
    if (member.current || !member.joined || !member.leaving.empty()) continue;
    (IsWorker(member) ? worker : profiler) = true;
  }
  const bool room = options_.max_workers == 0 || staying < options_.max_workers;
  return (worker && room) || (profiler && CurrentProfilers() < options_.profilers);
}

// Why ranks are to regroup at a boundary, empty: they are not.
std::string Membership::RegroupReason() const {
  std::vector<std::string> leaving;
  for (const auto& [id, member] : members_) {
    if (member.rank >= 0 && MayGo(id)) leaving.push_back(Describe(member.process));
  }
  if (leaving.empty()) return SomebodyWantsIn() ? "others join" : "";
  return absl::StrCat(absl::StrJoin(leaving, ", "), leaving.size() == 1 ? " leaves" : " leave",
                      SomebodyWantsIn() ? ", others join" : "");
}

Membership::Orders Membership::Request(bool checkpoint, proto::Boundary::Then then,
                                       const std::string& reason) {
  if (phase_ == Phase::kOver) return {};
  if (!next_.has_value()) next_.emplace();
  next_->checkpoint |= checkpoint;
  if (then == proto::Boundary::THEN_LEAVE) next_->then = then;
  next_->reason = reason;
  return HoldIfWanted();
}

Membership::Orders Membership::HoldIfWanted() {
  if (phase_ != Phase::kRunning || holding_.has_value() || leaving_) return {};
  // A checkpoint first: its parts must come from this generation.
  const std::string regroup_reason =
      options_.elastic() && !without_model_ && !next_.has_value() ? RegroupReason() : "";
  const bool regroup = !regroup_reason.empty();
  if (!next_.has_value() && !regroup) return {};
  holding_ = next_.value_or(Wish());
  next_.reset();
  if (regroup) {
    holding_->then = proto::Boundary::THEN_REGROUP;
    holding_->reason = regroup_reason;
  }
  for (auto& [id, member] : members_) member.begun.reset();
  return {Hold{Ranks(), ++serial_}};
}

Membership::Orders Membership::OnHeld(MemberId id, int64_t serial, int64_t begun, absl::Time now) {
  auto found = members_.find(id);
  if (found == members_.end() || phase_ != Phase::kRunning || !holding_.has_value() ||
      serial != serial_ || found->second.rank < 0) {
    return {};
  }
  found->second.begun = begun;
  return DecideIfHeld(now);
}

Membership::Orders Membership::DecideIfHeld(absl::Time now) {
  Boundary boundary;
  boundary.workers = Ranks();
  boundary.serial = serial_;
  for (MemberId id : boundary.workers) {
    const std::optional<int64_t>& begun = members_.at(id).begun;
    if (!begun.has_value()) return {};
    boundary.before_step = std::max(boundary.before_step, *begun + 1);
  }
  const Wish wish = *std::exchange(holding_, std::nullopt);
  // Past the last step there is nothing to agree on: the job ends by itself.
  if (boundary.before_step <= total_steps_) {
    boundary.checkpoint = wish.checkpoint;
    boundary.then = wish.then;
    boundary.reason = wish.reason;
  }
  Orders orders;
  const bool regroup = boundary.then == proto::Boundary::THEN_REGROUP;
  leaving_ = boundary.then == proto::Boundary::THEN_LEAVE;
  std::vector<MemberId> profilers;
  for (const auto& [id, member] : members_) {
    if (member.current && member.rank < 0) profilers.push_back(id);
  }
  const std::string reason = boundary.reason;
  orders.push_back(std::move(boundary));
  if (!regroup) {
    if (wish.then == proto::Boundary::THEN_CONTINUE) Append(orders, HoldIfWanted());
    return orders;
  }
  last_end_ = reason;
  BeginForming(now);
  to_boundary_ = true;
  if (!profilers.empty()) orders.push_back(End{std::move(profilers), reason, {}});
  return orders;
}

Membership::Orders Membership::OnTick(absl::Time now) {
  if (phase_ != Phase::kForming) return {};
  const absl::Duration waited = now - forming_since_;
  if (!formed_) {
    if (options_.recovering && waited > options_.recover_timeout) {
      Orders orders = StartIfReady(now, true);
      if (!orders.empty()) return orders;
    }
    if (waited <= options_.start_timeout) return {};
    if (options_.elastic()) {
      Orders orders = StartIfReady(now, true);
      if (!orders.empty()) return orders;
    }
    return FailWith(
        {},
        absl::StrCat("only ", members_.size(), " of ", options_.workers + options_.profilers,
                     " processes joined within ", absl::FormatDuration(options_.start_timeout),
                     "; missing: ", Missing()),
        kExitUnreachable);
  }
  Orders orders;
  if (SurvivorsMissing() && !to_boundary_ && waited > options_.rejoin_timeout) {
    std::vector<MemberId> silent;
    for (const auto& [id, member] : members_) {
      if (member.current && !member.joined) silent.push_back(id);
    }
    for (MemberId id : silent) {
      orders.push_back(Dismiss{id, absl::StrCat("did not join the next generation within ",
                                                absl::FormatDuration(options_.rejoin_timeout))});
      members_.erase(id);
    }
    Append(orders, StartIfReady(now, false));
    if (phase_ != Phase::kForming) return orders;
  }
  if (waited > options_.elastic_timeout) {
    const int present = static_cast<int>(JoinedInOrder(proto::ROLE_WORKER).size());
    Append(orders, FailWith({},
                            absl::StrCat(present, " of at least ", options_.min_workers,
                                         " workers are left, and no more came within ",
                                         absl::FormatDuration(options_.elastic_timeout)),
                            kExitRetry));
  }
  return orders;
}

std::string Membership::TakeWaiting(absl::Time now) {
  if (phase_ != Phase::kForming || !formed_ || told_waiting_ || SurvivorsMissing()) return "";
  const int present = static_cast<int>(JoinedInOrder(proto::ROLE_WORKER).size());
  const int missing = std::max(options_.min_workers, 1) - present;
  if (missing <= 0) return "";
  told_waiting_ = true;
  const absl::Duration left = forming_since_ + options_.elastic_timeout - now;
  return absl::StrCat("SL1050 ", present, " of at least ", options_.min_workers,
                      " workers are left: waiting for ", missing, " more, for ",
                      absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))), " at most");
}

Membership::Orders Membership::FailWith(proto::ProcessInfo culprit, const std::string& cause,
                                        int exit_code) {
  phase_ = Phase::kOver;
  return {Fail{std::move(culprit), cause, exit_code}};
}

std::string Membership::Missing() const {
  std::vector<std::string> missing;
  const auto joined = [&](proto::Role role, int slot) {
    return std::any_of(members_.begin(), members_.end(), [&](const auto& entry) {
      const Member& member = entry.second;
      return member.joined && member.process.role() == role && member.process.slot() == slot;
    });
  };
  for (int slot = 0; slot < options_.workers; ++slot) {
    if (!joined(proto::ROLE_WORKER, slot)) missing.push_back(absl::StrCat("rank ", slot));
  }
  for (int slot = 0; slot < options_.profilers; ++slot) {
    if (!joined(proto::ROLE_PROFILER, slot)) missing.push_back(absl::StrCat("profiler ", slot));
  }
  return absl::StrJoin(missing, ", ");
}

}  // namespace sluice
