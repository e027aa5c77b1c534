// Any text: the reader refuses it or the solver answers within its limits, and tiny instances agree
// with brute force.
#include <string>

#include "base/check.h"
#include "policies/solver/instance_json.h"
#include "policies/solver/knapsack.h"
#include "tests/policies/solver/brute_force.h"

namespace sluice {
namespace {

constexpr int64_t kMaxStates = 5000;
constexpr int64_t kMaxAssignments = 500;

int64_t Assignments(const KnapsackInstance& instance) {
  int64_t count = 1;
  for (const auto& layer : instance.layers) {
    count *= static_cast<int64_t>(layer.size());
    if (count > kMaxAssignments) return count;
  }
  return count;
}

void Check(const KnapsackInstance& instance) {
  const auto solution = SolveKnapsack(instance, {kMaxStates});
  if (!solution.ok()) return;  // sums that overflow
  int64_t size = 0, error = 0;
  SLUICE_CHECK(solution->choice.size() == instance.layers.size(), "one choice per layer");
  for (size_t l = 0; l < instance.layers.size(); ++l) {
    const KnapsackOption& option = instance.layers[l].at(solution->choice[l]);
    size += option.size;
    error += option.error;
  }
  SLUICE_CHECK(size == solution->size && error == solution->error, "sums of the choice");
  SLUICE_CHECK(solution->feasible == (error <= instance.budget), "feasible means within budget");
  SLUICE_CHECK(solution->lower_bound <= static_cast<double>(size), "the bound bounds");
  if (Assignments(instance) > kMaxAssignments) return;
  const KnapsackSolution best = BruteForce(instance);
  SLUICE_CHECK(solution->feasible == best.feasible, "feasibility of brute force");
  if (!solution->optimal && solution->feasible) return;
  SLUICE_CHECK(size == best.size && error == best.error, "optimum of brute force");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto file = sluice::ParseInstances(text);
  const auto answer = sluice::SolveInstancesJson(text, [] { return 0.0; }, {sluice::kMaxStates});
  if (!file.ok()) {
    SLUICE_CHECK(answer.status() == file.status(), "both read alike");
    return 0;
  }
  for (const sluice::NamedInstance& named : file->instances) sluice::Check(named.instance);
  return 0;
}
