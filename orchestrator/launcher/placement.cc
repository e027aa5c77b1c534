#include "orchestrator/launcher/placement.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<std::vector<Placement>> Place(absl::Span<const HostSlots> hosts, int workers) {
  std::vector<Placement> placed;
  std::vector<int> hosts_with;  // by local rank
  int nodes = 0;
  int64_t slots = 0;
  for (size_t h = 0; h < hosts.size(); ++h) {
    slots += hosts[h].slots;
    const int here = std::min(hosts[h].slots, workers - static_cast<int>(placed.size()));
    if (here <= 0) continue;
    for (int local = 0; local < here; ++local) {
      if (static_cast<int>(hosts_with.size()) <= local) hosts_with.push_back(0);
      Placement worker;
      worker.rank = static_cast<int>(placed.size());
      worker.host = static_cast<int>(h);
      worker.node = nodes;
      worker.local_rank = local;
      worker.local_size = here;
      worker.cross_rank = hosts_with[local]++;
      placed.push_back(worker);
    }
    ++nodes;
  }
  if (static_cast<int>(placed.size()) < workers) {
    return absl::UnavailableError(absl::StrCat("SL1020 ", workers, " workers asked, ", slots,
                                               " slots: ", ToString({hosts.begin(), hosts.end()}),
                                               ". Ask for fewer (-np), or give hosts more slots"));
  }
  for (Placement& worker : placed) {
    worker.nodes = nodes;
    worker.cross_size = hosts_with[worker.local_rank];
  }
  return placed;
}

absl::StatusOr<std::vector<HostSlots>> OldHostsFirst(absl::Span<const HostSlots> before,
                                                     absl::Span<const HostSlots> now) {
  std::vector<HostSlots> ordered;
  std::set<std::string> old;
  for (const HostSlots& host : before) {
    const auto same = std::find_if(now.begin(), now.end(), [&](const HostSlots& other) {
      return other.host == host.host && other.slots > 0;
    });
    if (same == now.end()) continue;
    ordered.push_back(*same);
    old.insert(host.host);
  }
  if (ordered.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("none of the hosts ", ToString({before.begin(), before.end()}),
                     " is left, so nobody holds the state of training. Resume from a checkpoint"));
  }
  for (const HostSlots& host : now) {
    if (old.count(host.host) == 0) ordered.push_back(host);
  }
  return ordered;
}

}  // namespace sluice
