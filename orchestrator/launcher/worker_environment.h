#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orchestrator/launcher/placement.h"
#include "orchestrator/launcher/scheduler_env.h"

namespace sluice {

/// This process's environment, as a value.
Environment CurrentEnvironment();

/// What the user asks of the environment of workers.
struct EnvironmentWishes {
  std::vector<std::string> add;     ///< NAME (passed on whatever it is called) or NAME=VALUE
  std::vector<std::string> remove;  ///< patterns of names: `*` and `?` as in a shell
};

/// \error kInvalidArgument  a name that is none; NAME without a value that `ours` does not have
absl::Status CheckWishes(const EnvironmentWishes& wishes, const Environment& ours);

/// What a worker on another host gets of `ours`: all but what belongs to this host or session (visible devices,
/// DISPLAY, SSH_*, TMUX*, SLURM_*, PMI*, OMPI_*, shell functions, PWD and the like) and what looks like a secret (TOKEN, SECRET,
/// PASSWORD or KEY in the name), with the wishes applied.
Environment PassedOn(const Environment& ours, const EnvironmentWishes& wishes);

/// What a worker on this host gets beside `ours`, which it inherits: the wishes' values.
Environment Added(const EnvironmentWishes& wishes);

/// Names of `ours` that a worker on this host must not inherit.
std::vector<std::string> Removed(const Environment& ours, const EnvironmentWishes& wishes);

/// What is particular to one worker, under the names that users of Horovod and torchrun read.
struct WorkerFacts {
  Placement placement;
  int size = 1;
  std::string host;  ///< as the launcher calls it
  std::string job_id;
  std::string coordinator_host;
  std::string coordinator_port;
  bool elastic = false;
  int max_restarts = 0;
  int64_t generation = 1;         ///< the earliest that it can take part in
  int restarts = 0;               ///< how often it was started before
  std::string network_interface;  ///< the one to use, empty = any
};

/// \param ours  what is set there is not overridden where it is a setting and no fact (NCCL_*, TORCH_*)
Environment WorkerEnvironment(const WorkerFacts& facts, const Environment& ours);

/// What a worker's libraries read before its main, less what `ours` sets: threads of BLAS (it would start a thread for
/// each core, which the workers of one machine fight over, and their number changes the bits of a sum); and that
/// glibc's malloc keeps what is freed. Else it gives each step's activations back to the kernel and faults them in
/// anew, a third of the step of a ResNet-18.
Environment LibrarySettings(int threads, const Environment& ours);

}  // namespace sluice
