// Times of the exact solver on the published instances, a hard one and a large one.
//   bazel run //tools/bench:solver_bench
// Every optimum is checked before its timing starts.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "benchmark/benchmark.h"
#include "policies/solver/instance_json.h"
#include "policies/solver/knapsack.h"
#include "tests/policies/solver/random_instance.h"

namespace sluice {
namespace {

constexpr char kVectors[] = "tests/policies/solver/testdata/lgreco_knapsack.json";
// Optimal sizes, as the file gives them.
const std::map<std::string, int64_t> kOptima = {{"large-60x8", 11131720},
                                                {"large-200x12", 27630384}};

void Solve(benchmark::State& state, const KnapsackInstance& instance, int64_t optimum) {
  const auto solution = SolveKnapsack(instance);
  if (!solution.ok() || (optimum >= 0 && (!solution->optimal || solution->size != optimum))) {
    state.SkipWithError("not the optimum");
    return;
  }
  state.counters["gap"] = solution->gap();
  for (auto _ : state) benchmark::DoNotOptimize(SolveKnapsack(instance));
}

/// Even numbers and an odd budget: the relaxation promises what no assignment reaches, so the proof
/// runs into the limit. Shows what the limit costs.
KnapsackInstance Parity(int layers) {
  Draws draws(RandomKey(11));
  KnapsackInstance instance;
  for (int l = 0; l < layers; ++l) {
    const int64_t value = 2 * draws.Between(1'000'000'000, 1'000'000'000'000);
    instance.layers.push_back({{0, value}, {value, 0}});
    instance.budget += value / 2;
  }
  instance.budget |= 1;
  return instance;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::ifstream file(sluice::kVectors);
  std::stringstream text;
  text << file.rdbuf();
  const auto read = sluice::ParseInstances(text.str());
  if (!read.ok()) {
    std::fprintf(stderr, "%s: %s\n", sluice::kVectors, read.status().ToString().c_str());
    return EXIT_FAILURE;
  }
  auto add = [](const std::string& name, const sluice::KnapsackInstance& instance,
                int64_t optimum) {
    benchmark::RegisterBenchmark(name.c_str(), sluice::Solve, instance, optimum)
        ->Unit(benchmark::kMillisecond);
  };
  for (const auto& named : read->instances) {
    const auto known = sluice::kOptima.find(named.name);
    if (known != sluice::kOptima.end()) add(named.name, named.instance, known->second);
  }
  add("network-2000x20", sluice::NetworkInstance(sluice::RandomKey(1), 2000, 20), -1);
  add("parity-60x2 (cut)", sluice::Parity(60), -1);
  benchmark::RunSpecifiedBenchmarks();
  return EXIT_SUCCESS;
}
