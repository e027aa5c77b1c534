#include "orchestrator/launcher/host_pool.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

bool Same(absl::Span<const HostSlots> a, absl::Span<const HostSlots> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const HostSlots& one, const HostSlots& other) {
                      return one.host == other.host && one.slots == other.slots;
                    });
}

std::string WholeSeconds(absl::Duration duration) {
  return absl::FormatDuration(absl::Ceil(duration, absl::Seconds(1)));
}

}  // namespace

HostPool::HostPool(const Options& options, absl::Span<const HostSlots> hosts,
                   absl::Span<const Placement> placements)
    : options_(options),
      hosts_(hosts.begin(), hosts.end()),
      all_(hosts.size()),
      last_list_(hosts.begin(), hosts.end()) {
  for (size_t i = 0; i < hosts.size(); ++i) order_.push_back(static_cast<int>(i));
  for (size_t slot = 0; slot < placements.size(); ++slot) {
    Worker& worker = workers_[static_cast<int>(slot)];
    worker.host = placements[slot].host;
    worker.local_rank = placements[slot].local_rank;
  }
}

int HostPool::Find(const std::string& host) const {
  const auto at = std::find_if(hosts_.begin(), hosts_.end(), [&](const HostSlots& one) {
    return absl::EqualsIgnoreCase(one.host, host);
  });
  return at == hosts_.end() ? -1 : static_cast<int>(at - hosts_.begin());
}

std::vector<std::string> HostPool::SetHosts(absl::Span<const HostSlots> list) {
  const bool again = Same(list, last_list_);
  if (again && !held_back_) return {};
  last_list_.assign(list.begin(), list.end());
  std::vector<std::string> changes;
  std::vector<bool> named(hosts_.size(), false);
  std::vector<int> order = order_;  // those that were listed come first, in their order
  for (const HostSlots& one : list) {
    int index = Find(one.host);
    if (index < 0) {
      index = static_cast<int>(hosts_.size());
      hosts_.push_back({one.host, 0});
      all_.emplace_back();
      all_.back().listed = false;
      named.push_back(false);
    }
    named[index] = true;
    const int before = all_[index].listed ? hosts_[index].slots : 0;
    hosts_[index].slots = one.slots;
    if (!all_[index].listed) {
      order.push_back(index);
      changes.push_back(absl::StrCat("host ", one.host, " is new, with ", one.slots, " slots"));
    } else if (before != one.slots) {
      changes.push_back(
          absl::StrCat("host ", one.host, " has ", one.slots, " slots, it had ", before));
    }
    all_[index].listed = true;
  }
  std::set<std::string> in_use, kept;
  for (const auto& [slot, worker] : workers_) {
    if (worker.leaving || worker.waiting) continue;
    in_use.insert(hosts_[worker.host].host);
    if (named[worker.host] && hosts_[worker.host].slots > 0) kept.insert(hosts_[worker.host].host);
  }
  order_.clear();
  const bool nobody_stays = kept.empty() && !in_use.empty();
  for (int index : order) {
    if (!named[index] && !(nobody_stays && in_use.count(hosts_[index].host) > 0)) {
      all_[index].listed = false;
      changes.push_back(absl::StrCat("host ", hosts_[index].host, " is gone from the list"));
    } else {
      order_.push_back(index);
    }
  }
  if (nobody_stays && !(again && held_back_)) {
    changes.push_back(absl::StrCat("the list names none of the hosts that have workers (",
                                   absl::StrJoin(in_use, ", "),
                                   "): they stay, since nobody else holds the state of training"));
  }
  if (nobody_stays) {
    std::map<int, int> here;
    for (const auto& [slot, worker] : workers_) ++here[worker.host];
    for (const auto& [host, count] : here) {
      // Room for those that are there, and for nobody else.
      if (in_use.count(hosts_[host].host) > 0) hosts_[host].slots = count + all_[host].spent;
    }
  }
  for (auto& [slot, worker] : workers_) {
    worker.held_back =
        nobody_stays && !worker.leaving && in_use.count(hosts_[worker.host].host) > 0;
  }
  held_back_ = nobody_stays;
  if (!changes.empty()) told_nobody_left_ = false;
  return changes;
}

bool HostPool::Usable(int host, absl::Time now) const {
  return all_[host].listed && hosts_[host].slots - all_[host].spent > 0 &&
         now >= all_[host].banned_until;
}

int HostPool::Free(int host) const {
  int used = all_[host].spent;
  for (const auto& [slot, worker] : workers_) used += worker.host == host ? 1 : 0;
  return hosts_[host].slots - used;
}

int HostPool::FreeLocalRank(int host, int slot) const {
  std::set<int> taken;
  for (const auto& [other, worker] : workers_) {
    if (worker.host == host && other != slot) taken.insert(worker.local_rank);
  }
  int local = 0;
  while (taken.count(local) > 0) ++local;
  return local;
}

int HostPool::FindFree(absl::Time now) const {
  for (int host : order_) {
    if (Usable(host, now) && Free(host) > 0) return host;
  }
  return -1;
}

int HostPool::FirstUsable(absl::Time now) const {
  for (int host : order_) {
    if (Usable(host, now)) return host;
  }
  return -1;
}

std::vector<int> HostPool::TakeLeavers() {
  std::vector<int> leavers;
  std::map<int, int> staying;  // by host
  for (auto& [slot, worker] : workers_) {
    if (worker.leaving || worker.waiting) continue;
    const int room = all_[worker.host].listed ? hosts_[worker.host].slots : 0;
    if (++staying[worker.host] <= room) continue;
    worker.leaving = true;
    leavers.push_back(slot);
  }
  return leavers;
}

int HostPool::workers() const {
  return static_cast<int>(std::count_if(workers_.begin(), workers_.end(),
                                        [](const auto& entry) { return !entry.second.leaving; }));
}

void HostPool::OnGeneration(int64_t generation, absl::Span<const int> slots) {
  if (generation <= generation_) return;
  generation_ = generation;
  for (auto& [slot, worker] : workers_) {
    worker.holds = std::find(slots.begin(), slots.end(), slot) != slots.end();
  }
}

bool HostPool::HolderStays() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& entry) { return entry.second.holds && !entry.second.leaving; });
}

std::vector<int> HostPool::TakeNew(absl::Time now) {
  std::vector<int> fresh;
  // Others are to take the place of those that are held back.
  const auto held_back = static_cast<int>(std::count_if(
      workers_.begin(), workers_.end(), [](const auto& entry) { return entry.second.held_back; }));
  // Those that wait for a place come first.
  const bool waiting = std::any_of(workers_.begin(), workers_.end(),
                                   [](const auto& entry) { return entry.second.waiting; });
  while (!waiting && (options_.target == 0 || workers() - held_back + gone_ < options_.target)) {
    const int host = FindFree(now);
    if (host < 0) break;
    int slot = 0;
    while (workers_.count(slot) > 0) ++slot;
    const int local_rank = FreeLocalRank(host, slot);
    Worker& worker = workers_[slot];
    worker.host = host;
    worker.local_rank = local_rank;
    fresh.push_back(slot);
  }
  return fresh;
}

bool HostPool::AnotherUsable(int host, absl::Time now) const {
  return std::any_of(order_.begin(), order_.end(),
                     [&](int other) { return other != host && Usable(other, now); });
}

std::optional<std::string> HostPool::OnEnded(int slot, End end, const std::string& what,
                                             absl::Time now) {
  const auto found = workers_.find(slot);
  if (found == workers_.end()) return std::nullopt;
  Worker& worker = found->second;
  const int index = worker.host;
  Host& host = all_[index];
  if (end == End::kLeft || worker.leaving) {
    if (!worker.leaving) {
      ++host.spent;
      ++gone_;
    }
    workers_.erase(found);
    return std::nullopt;
  }
  worker.waiting = true;
  worker.holds = false;
  const bool again = std::count(host.incident_slots.begin(), host.incident_slots.end(), slot) > 0;
  while (!host.incidents.empty() && now - host.incidents.front() > kWindow) {
    host.incidents.pop_front();
  }
  if (again || host.incidents.empty() || now - host.incidents.back() > kOneIncident) {
    host.incidents.push_back(now);
    host.incident_slots.clear();
  }
  host.incident_slots.push_back(slot);
  if (static_cast<int>(host.incidents.size()) < kFailures || now < host.banned_until) {
    return std::nullopt;
  }
  const absl::Duration took = now - host.incidents.front();
  const std::string reason = absl::StrCat(host.incidents.size(), " failures within ",
                                          WholeSeconds(took), ", the last: rank ", slot, " ", what);
  host.failures = static_cast<int>(host.incidents.size());
  host.incidents.clear();
  host.incident_slots.clear();
  if (!AnotherUsable(index, now)) {
    return absl::StrCat("host ", hosts_[index].host, " had ", reason,
                        ". It is the only host left, so workers are started there all the same");
  }
  ++host.bans;
  if (options_.cooldown_min <= absl::ZeroDuration()) {
    host.banned_until = absl::InfiniteFuture();
    return absl::StrCat("host ", hosts_[index].host,
                        " is left out for the rest of the job: ", reason);
  }
  const absl::Duration length =
      std::min(options_.cooldown_max,
               options_.cooldown_min * static_cast<double>(1 << std::min(host.bans - 1, 20)));
  host.banned_until = now + length;
  return absl::StrCat("host ", hosts_[index].host, " is left out for ", WholeSeconds(length),
                      ", until ",
                      absl::FormatTime("%H:%M:%S", host.banned_until, absl::UTCTimeZone()),
                      " UTC (ban ", host.bans, "): ", reason);
}

bool HostPool::Place(int slot, absl::Time now) {
  const auto found = workers_.find(slot);
  if (found == workers_.end()) return false;
  Worker& worker = found->second;
  // Its own place is counted as taken by itself.
  if (!Usable(worker.host, now) || Free(worker.host) < 0) {
    const int other = FindFree(now);
    if (other < 0) return false;
    worker.host = other;
    worker.local_rank = FreeLocalRank(other, slot);
  }
  worker.waiting = false;
  return true;
}

Placement HostPool::PlacementOf(int slot) const {
  const Worker& worker = workers_.at(slot);
  Placement place;
  place.rank = slot;
  place.host = worker.host;
  place.local_rank = worker.local_rank;
  place.local_size = std::max(hosts_[worker.host].slots, worker.local_rank + 1);
  place.cross_size = 0;
  place.nodes = 0;
  bool before = true;
  for (int host : order_) {
    bool any = host == worker.host, same_local = any;
    for (const auto& [other, one] : workers_) {
      if (one.host != host || one.leaving) continue;
      any = true;
      same_local = same_local || one.local_rank == worker.local_rank;
    }
    before = before && host != worker.host;
    place.nodes += any ? 1 : 0;
    place.cross_size += same_local ? 1 : 0;
    if (!before) continue;
    place.node += any ? 1 : 0;
    place.cross_rank += same_local ? 1 : 0;
  }
  place.nodes = std::max(place.nodes, 1);
  place.cross_size = std::max(place.cross_size, 1);
  return place;
}

std::string HostPool::Describe(absl::Time now) const {
  std::vector<std::string> words;
  for (int index : order_) {
    const Host& host = all_[index];
    std::string word = absl::StrCat(hosts_[index].host, " ", hosts_[index].slots);
    if (host.banned_until == absl::InfiniteFuture()) {
      absl::StrAppend(&word, " (left out for the rest of the job: ", host.failures, " failures)");
    } else if (now < host.banned_until) {
      absl::StrAppend(&word, " (left out ", WholeSeconds(host.banned_until - now),
                      " more: ", host.failures, " failures)");
    } else if (host.spent > 0) {
      absl::StrAppend(&word, " (", host.spent, " of them ended for good)");
    }
    words.push_back(std::move(word));
  }
  return words.empty() ? "none" : absl::StrJoin(words, ", ");
}

std::string HostPool::TakeNobodyLeft(absl::Time now) {
  const bool hope = std::any_of(order_.begin(), order_.end(), [&](int host) {
    return hosts_[host].slots - all_[host].spent > 0 &&
           all_[host].banned_until != absl::InfiniteFuture();
  });
  if (hope || told_nobody_left_) return "";
  told_nobody_left_ = true;
  return absl::StrCat("SL1020 no host is left to start workers on. Hosts: ", Describe(now));
}

}  // namespace sluice
