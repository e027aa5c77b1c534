// Times of the exact solver on the published instances, a hard one and a large one.
//   bazel run //tools/bench:solver_bench
// Every optimum is checked before its timing starts.
#include <cmath>
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

/// As a large model with every family of codecs: per layer raw, 16 quantisers, 12 densities and 11 ranks, with
/// errors that follow each family's law, give or take a tenth. The budget is that of 4 bits everywhere.
KnapsackInstance Families(int layers) {
  constexpr double kSizeUnits = 64;  // as lgreco scales bytes
  Draws draws(RandomKey(12));
  KnapsackInstance instance;
  for (int l = 0; l < layers; ++l) {
    const double n = std::exp2(10 + 1e-3 * static_cast<double>(draws.Between(0, 14'000)));
    const double norm = std::exp2(20 + 1e-3 * static_cast<double>(draws.Between(0, 10'000)));
    auto& options = instance.layers.emplace_back();
    auto add = [&](double bytes, double error) {
      error *= 0.9 + 1e-4 * static_cast<double>(draws.Between(0, 2000));
      options.push_back({std::llround(kSizeUnits * bytes), std::llround(norm * error)});
    };
    add(4 * n, 0);
    for (const double bucket : {128, 1024}) {
      for (int bits = 1; bits <= 8; ++bits) {
        add(n * bits / 8 + 8 * n / bucket, std::pow(bucket, 0.25) / 5 / (std::exp2(bits) - 1));
      }
    }
    for (int d = 0; d < 12; ++d) {
      const double density = 0.001 * std::exp2(0.75 * d);
      add(6 * n * density, std::sqrt(1 - std::pow(density, 0.3)));
    }
    for (int r = 0; r < 11; ++r) {
      const double rank = std::exp2(0.6 * r);
      add(8 * rank * std::sqrt(n), std::exp(-rank / 60));
    }
    instance.budget += options[4].error;
  }
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
  add("network-10000x40", sluice::NetworkInstance(sluice::RandomKey(1), 10000, 40), -1);
  add("families-10000x40", sluice::Families(10000), -1);
  add("parity-60x2 (cut)", sluice::Parity(60), -1);
  benchmark::RunSpecifiedBenchmarks();
  return EXIT_SUCCESS;
}
