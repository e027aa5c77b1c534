#include "orchestrator/launcher/worker_environment.h"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "orchestrator/config/nearest_word.h"

extern char** environ;

namespace sluice {
namespace {

// Of this host or this login session: a worker elsewhere has its own.
constexpr const char* kLocal[] = {
    "*VISIBLE_DEVICES", "DISPLAY",  "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_*",
    "DBUS_*",           "SSH_*",    "TMUX*",           "STY",        "TERM",
    "HOSTNAME",         "PWD",      "OLDPWD",          "SHLVL",      "_",
    "BASH_FUNC_*",      "SLURM_*",  "SLURMD_*",        "SRUN_*",     "PMI_*",
    "PMIX_*",           "OMPI_*",   "MPI_LOCAL*",      "PRTE_*",     "BUILD_WORK*",
    "RUNFILES_*",       "LS_COLORS"};
constexpr const char* kSecret[] = {"*TOKEN*", "*SECRET*", "*PASSWORD*", "*KEY*"};

bool Matches(const std::string& name, const char* pattern) {
  return fnmatch(pattern, name.c_str(), 0) == 0;
}

template <class Patterns>
bool MatchesAny(const std::string& name, const Patterns& patterns) {
  return std::any_of(std::begin(patterns), std::end(patterns),
                     [&](const char* pattern) { return Matches(name, pattern); });
}

bool IsRemoved(const std::string& name, const EnvironmentWishes& wishes) {
  return std::any_of(wishes.remove.begin(), wishes.remove.end(),
                     [&](const std::string& pattern) { return Matches(name, pattern.c_str()); });
}

std::string NameOf(const std::string& wish) { return wish.substr(0, wish.find('=')); }

}  // namespace

Environment CurrentEnvironment() {
  Environment all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == text.npos || equals == 0) continue;
    all.emplace(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
  }
  return all;
}

absl::Status CheckWishes(const EnvironmentWishes& wishes, const Environment& ours) {
  for (const std::string& wish : wishes.add) {
    const std::string name = NameOf(wish);
    const bool good = !name.empty() && !absl::ascii_isdigit(name.front()) &&
                      std::all_of(name.begin(), name.end(),
                                  [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat("--env ", Quoted(wish), ": expected NAME or NAME=VALUE"));
    }
    if (name.size() == wish.size() && ours.count(name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--env ", name, ": there is no such variable here; give it a value: --env ",
                       name, "=VALUE"));
    }
  }
  return absl::OkStatus();
}

Environment PassedOn(const Environment& ours, const EnvironmentWishes& wishes) {
  Environment passed;
  for (const auto& [name, value] : ours) {
    if (MatchesAny(name, kLocal) || MatchesAny(absl::AsciiStrToUpper(name), kSecret)) continue;
    if (!IsRemoved(name, wishes)) passed.emplace(name, value);
  }
  for (const std::string& wish : wishes.add) {
    const std::string name = NameOf(wish);
    if (name.size() == wish.size()) passed[name] = ours.at(name);
  }
  for (auto& [name, value] : Added(wishes)) passed[name] = value;
  return passed;
}

Environment Added(const EnvironmentWishes& wishes) {
  Environment added;
  for (const std::string& wish : wishes.add) {
    const std::string name = NameOf(wish);
    if (name.size() < wish.size()) added[name] = wish.substr(name.size() + 1);
  }
  return added;
}

std::vector<std::string> Removed(const Environment& ours, const EnvironmentWishes& wishes) {
  std::vector<std::string> removed;
  for (const auto& [name, value] : ours) {
    if (IsRemoved(name, wishes)) removed.push_back(name);
  }
  return removed;
}

Environment WorkerEnvironment(const WorkerFacts& facts, const Environment& ours) {
  const Placement& place = facts.placement;
  const std::string rank = absl::StrCat(place.rank), size = absl::StrCat(facts.size);
  Environment all;
  const auto set = [&](const std::string& value, std::initializer_list<const char*> names) {
    for (const char* name : names) all[name] = value;
  };
  set(rank, {"RANK", "ROLE_RANK", "SLUICE_RANK", "HOROVOD_RANK"});
  set(size, {"WORLD_SIZE", "ROLE_WORLD_SIZE", "SLUICE_SIZE", "HOROVOD_SIZE"});
  set(absl::StrCat(place.local_rank), {"LOCAL_RANK", "SLUICE_LOCAL_RANK", "HOROVOD_LOCAL_RANK"});
  set(absl::StrCat(place.local_size),
      {"LOCAL_WORLD_SIZE", "SLUICE_LOCAL_SIZE", "HOROVOD_LOCAL_SIZE"});
  set(absl::StrCat(place.cross_rank), {"CROSS_RANK", "SLUICE_CROSS_RANK", "HOROVOD_CROSS_RANK"});
  set(absl::StrCat(place.cross_size), {"CROSS_SIZE", "SLUICE_CROSS_SIZE", "HOROVOD_CROSS_SIZE"});
  set(absl::StrCat(place.node), {"GROUP_RANK"});
  set(absl::StrCat(place.nodes), {"GROUP_WORLD_SIZE"});
  set(facts.host, {"HOROVOD_HOSTNAME"});
  set(facts.coordinator_host, {"MASTER_ADDR", "HOROVOD_GLOO_RENDEZVOUS_ADDR"});
  set(facts.coordinator_port, {"MASTER_PORT", "HOROVOD_GLOO_RENDEZVOUS_PORT"});
  set(absl::StrCat(facts.coordinator_host, ":", facts.coordinator_port),
      {"SLUICE_COORDINATOR_ADDR"});
  set(facts.job_id, {"SLUICE_JOB_ID", "TORCHELASTIC_RUN_ID"});
  set("1", {"PYTHONUNBUFFERED"});
  set(absl::StrCat(facts.generation), {"SLUICE_GENERATION"});
  set(absl::StrCat(facts.restarts), {"TORCHELASTIC_RESTART_COUNT"});
  set(absl::StrCat(facts.max_restarts), {"TORCHELASTIC_MAX_RESTARTS"});
  set("False", {"TORCHELASTIC_USE_AGENT_STORE"});
  set("default", {"ROLE_NAME"});
  set("sluice", {"HOROVOD_CONTROLLER"});
  set("ucx", {"HOROVOD_CPU_OPERATIONS"});
  if (facts.elastic) set("1", {"HOROVOD_ELASTIC"});
  const auto suggest = [&](const char* name, const std::string& value) {
    if (ours.count(name) == 0) all[name] = value;
  };
  suggest("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1");
  if (!facts.network_interface.empty()) {
    set(facts.network_interface, {"HOROVOD_GLOO_IFACE"});
    suggest("NCCL_SOCKET_IFNAME", absl::StrCat("=", facts.network_interface));
    suggest("GLOO_SOCKET_IFNAME", facts.network_interface);
    suggest("UCX_NET_DEVICES", facts.network_interface);
  }
  return all;
}

Environment LibrarySettings(int threads, const Environment& ours) {
  constexpr absl::string_view kKeptBytes = "1073741824";
  Environment all = {{"OMP_NUM_THREADS", absl::StrCat(threads)},
                     {"OPENBLAS_NUM_THREADS", absl::StrCat(threads)},
                     {"MALLOC_MMAP_THRESHOLD_", std::string(kKeptBytes)},
                     {"MALLOC_TRIM_THRESHOLD_", std::string(kKeptBytes)}};
  for (const auto& [name, value] : ours) all.erase(name);
  return all;
}

}  // namespace sluice
