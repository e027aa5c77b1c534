#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "orchestrator/launcher/host_list.h"
#include "orchestrator/launcher/placement.h"

namespace sluice {

/// The hosts of an elastic job while it runs: which there are, which are left out for a while because workers fail
/// there, and which worker runs where. Pure: it starts nobody, and time is a parameter.
///
///     listed --(kFailures failures within kWindow)--> left out --(the ban is over)--> listed
///     listed <--(the list names it again: it keeps its bans)--> unlisted: its workers leave
///
/// A host that is left out gets no worker, old or new; workers that run there go on. Its first ban lasts
/// cooldown_min, each further one twice as long as the one before, cooldown_max at most; without a cooldown it lasts
/// for the rest of the job. The only host left is never left out. Failures of several workers of a host within
/// kOneIncident count as one: it was rebooted, say.
///
/// Workers are numbered by slots, lowest first. A slot whose worker ended for good (with 0 unasked, or for an error that
/// the next one would have too) is not filled again, and the target is one less.
class HostPool {
 public:
  struct Options {
    int target = 0;               ///< workers that are to run; 0 = as many as there are slots
    absl::Duration cooldown_min;  ///< zero: bans never end
    absl::Duration cooldown_max;
  };

  static constexpr int kFailures = 3;
  static constexpr absl::Duration kWindow = absl::Minutes(10);
  static constexpr absl::Duration kOneIncident = absl::Seconds(5);

  /// How the worker of a slot ended.
  enum class End {
    kLeft,    ///< it was to leave, or is not to be started again
    kFailed,  ///< badly, and it is to be started again
  };

  /// \param hosts       the first list
  /// \param placements  workers that are started at once, by slot, with indices into `hosts`
  HostPool(const Options& options, absl::Span<const HostSlots> hosts,
           absl::Span<const Placement> placements);

  /// A new list. The same one again changes nothing.
  /// \return what has changed, in sentences for people. Of a list without any host that has workers those workers do
  ///         not leave, since nobody else holds the state of training: that is said too. They do once workers of listed
  ///         hosts were started, as many as there are to be beside them.
  std::vector<std::string> SetHosts(absl::Span<const HostSlots> list);

  /// Slots whose workers are to leave now, each told once: of hosts that are not listed any more, or that have fewer slots.
  std::vector<int> TakeLeavers();
  /// A generation has started: these slots are its ranks. One that is not newer changes nothing.
  void OnGeneration(int64_t generation, absl::Span<const int> slots);
  /// Whether a worker that was a rank of the newest generation, and so holds the state of training, is not to leave.
  bool HolderStays() const;
  /// Slots that are to be filled now, and run from now on.
  std::vector<int> TakeNew(absl::Time now);
  /// The worker of a slot ended. \param what  how: "exited with 1"
  /// \return that its host is left out from now on, or why it is not: a sentence for people
  std::optional<std::string> OnEnded(int slot, End end, const std::string& what, absl::Time now);
  /// Finds a place for the worker of `slot` that is to be started again: its own host if that will do, else another.
  /// \return whether there is one now
  bool Place(int slot, absl::Time now);

  /// Where the worker of a slot runs; rank = slot, host = index into hosts().
  Placement PlacementOf(int slot) const;
  /// All hosts that were ever listed; their indices never change.
  const std::vector<HostSlots>& hosts() const { return hosts_; }
  bool listed(int host) const { return all_[host].listed; }
  /// Workers that run, wait for a place or are about to be started again.
  int workers() const;
  /// The first host that may get processes now, -1 if there is none.
  int FirstUsable(absl::Time now) const;
  /// Says once that no host is left to start workers on, now or after a ban, with each host's reason; empty otherwise.
  std::string TakeNobodyLeft(absl::Time now);
  /// "node01 4, node02 4 (left out 42s more: 3 failures)", of listed hosts.
  std::string Describe(absl::Time now) const;

 private:
  struct Host {
    bool listed = true;
    int spent = 0;                     // slots that are not filled again
    std::deque<absl::Time> incidents;  // within kWindow
    std::vector<int> incident_slots;   // that failed in the newest one
    int bans = 0;
    int failures = 0;  // that led to the newest ban
    absl::Time banned_until = absl::InfinitePast();
  };
  struct Worker {
    int host = 0;
    int local_rank = 0;
    bool leaving = false;
    bool waiting = false;    // ended, to be started again
    bool holds = false;      // the state of training: it was a rank of the newest generation
    bool held_back = false;  // of a host that is not listed any more
  };

  int Find(const std::string& host) const;
  bool Usable(int host, absl::Time now) const;
  int Free(int host) const;
  int FreeLocalRank(int host, int slot) const;
  int FindFree(absl::Time now) const;
  bool AnotherUsable(int host, absl::Time now) const;

  const Options options_;
  std::vector<HostSlots> hosts_;
  std::vector<Host> all_;   // as hosts_
  std::vector<int> order_;  // listed ones: the oldest first
  std::vector<HostSlots> last_list_;
  bool held_back_ = false;         // by it nobody would stay: it waits for workers of other hosts
  std::map<int, Worker> workers_;  // by slot
  int64_t generation_ = 0;         // the newest known
  int gone_ = 0;                   // workers that ended for good: nobody takes their place
  bool told_nobody_left_ = false;
};

}  // namespace sluice
