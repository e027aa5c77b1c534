#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "orchestrator/commands/launch.h"
#include "orchestrator/launcher/discovery_script.h"
#include "orchestrator/launcher/host_pool.h"
#include "orchestrator/launcher/output_files.h"
#include "orchestrator/launcher/supervisor.h"

namespace sluice {

/// The launcher's part of an elastic job: starts workers on hosts that a discovery script finds, has those of removed
/// hosts leave, and starts dead ones again, elsewhere if their host is left out (HostPool). Removed hosts' workers have
/// checkpoint.grace_seconds to leave. \threadsafety main thread
class ElasticRoster : public Roster {
 public:
  /// \param launch  borrowed: its hosts and placements are kept up to date
  /// \param script  nullptr: hosts stay as they are
  /// \param files   may be null
  ElasticRoster(Launch* launch, std::unique_ptr<DiscoveryScript> script, OutputFiles* files);

  /// Once the processes of the start run. \param line  of StartAll
  void Begin(std::unique_ptr<CoordinatorLine> line) { line_ = std::move(line); }

  void OnEnded(const std::string& name, int status, bool again) override;
  std::optional<ChildSpec> Again(const std::string& name) override;
  void OnTick(Supervisor& supervisor) override;

 private:
  void LookForHosts();
  void TakeOver(DiscoveredHosts found);
  void MoveProfiler(int slot, Supervisor& supervisor);
  std::optional<ChildSpec> SpecOf(const std::string& kind, int slot);

  Launch* const launch_;
  HostPool pool_;
  const std::unique_ptr<DiscoveryScript> script_;
  OutputFiles* const files_;
  std::unique_ptr<CoordinatorLine> line_;
  std::string failing_;               // what the script's last run failed with, empty: it did not
  std::set<std::string> told_;        // lines and hosts that were complained of
  std::set<int> waiting_;             // slots whose wait for a place was told
  std::set<int> profilers_leave_;     // slots
  std::set<int> profilers_are_gone_;  // of these: others are to be started
};

/// The hosts that `script` names, once they have slots for `workers`, or after `patience` for `least`.
/// \error kUnavailable  its first run fails; or there are not so many by then: SL1020 with both numbers and the hosts
absl::StatusOr<std::vector<HostSlots>> AwaitHosts(DiscoveryScript& script, int workers, int least,
                                                  absl::Duration patience);

}  // namespace sluice
