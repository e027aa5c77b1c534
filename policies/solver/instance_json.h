#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policies/solver/knapsack.h"

namespace sluice {

/// One instance of a file, with the names that messages use.
struct NamedInstance {
  std::string name;
  std::vector<std::string> layers;  ///< names, in the order of instance.layers
  KnapsackInstance instance;
};

struct InstanceFile {
  bool single = false;  ///< the text was one instance, not a file of them
  std::vector<NamedInstance> instances;
};

/// Reads one instance,
///
///     {"name": "tiny", "budget": 60, "layers": [{"name": "a", "options": [[100, 30], [200, 20]]}]}
///
/// where an option is [size, error], or a file {"format": "sluice-knapsack/1", "instances": [...]}
/// of them. Names may be left out; other keys are ignored. \error kInvalidArgument  not JSON, or
/// not of this form: names instance, layer and option
absl::StatusOr<InstanceFile> ParseInstances(const std::string& text);

/// Solves what ParseInstances reads. One instance gives one object, a file an array with one per
/// line:
///
///     {"name": "tiny", "feasible": true, "optimal": true, "choice": [0], "size": 100, "error": 30,
///      "lower_bound": 100.0, "seconds": 0.000012}
///
/// `choice` counts each layer's options from 0; an infeasible instance has the choice of least
/// error. \param seconds_now  a clock that never goes back; read before and after each instance is
/// solved \error kInvalidArgument  as ParseInstances and SolveKnapsack, with the instance's name
absl::StatusOr<std::string> SolveInstancesJson(const std::string& text,
                                               const std::function<double()>& seconds_now,
                                               const KnapsackLimits& limits = {});

}  // namespace sluice
