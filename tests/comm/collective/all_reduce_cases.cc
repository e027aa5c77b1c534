#include "tests/comm/collective/all_reduce_cases.h"

#include <algorithm>
#include <map>

#include "base/random.h"

namespace sluice {
namespace {

using Vector = std::vector<float>;

void Add(const Vector& values, Vector& sums) {
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
}

Vector SumAscending(const std::vector<Vector>& inputs) {
  Vector sums = inputs[0];
  for (size_t i = 1; i < inputs.size(); ++i) Add(inputs[i], sums);
  return sums;
}

Vector SumByChunks(const std::vector<Vector>& inputs) {
  const size_t ranks = inputs.size();
  const size_t elements = inputs[0].size();
  Vector sums;
  for (size_t chunk = 0; chunk < ranks; ++chunk) {
    const size_t size = elements / ranks + (chunk < elements % ranks ? 1 : 0);
    for (const size_t end = sums.size() + size; sums.size() < end;) {
      const size_t i = sums.size();
      float sum = inputs[chunk][i];
      for (size_t step = 1; step < ranks; ++step) sum += inputs[(chunk + step) % ranks][i];
      sums.push_back(sum);
    }
  }
  return sums;
}

Vector SumByTree(std::vector<Vector> inputs) {
  size_t power = 1;
  while (2 * power <= inputs.size()) power *= 2;
  for (size_t rank = power; rank < inputs.size(); ++rank) Add(inputs[rank], inputs[rank - power]);
  for (size_t distance = power / 2; distance >= 1; distance /= 2) {
    for (size_t rank = 0; rank < distance; ++rank) Add(inputs[rank + distance], inputs[rank]);
  }
  return inputs[0];
}

Vector SumByHosts(const std::vector<Vector>& inputs, const std::vector<int>& host_of_rank) {
  std::map<int, std::vector<Vector>> hosts;
  for (size_t rank = 0; rank < inputs.size(); ++rank) {
    hosts[host_of_rank[rank]].push_back(inputs[rank]);
  }
  std::vector<Vector> sums;
  for (const auto& [host, values] : hosts) sums.push_back(SumAscending(values));
  return SumAscending(sums);
}

}  // namespace

AllReduceOptions AllReduceCase::options() const {
  AllReduceOptions options;
  options.algorithm = algorithm;
  options.host_of_rank = host_of_rank;
  return options;
}

std::ostream& operator<<(std::ostream& out, const AllReduceCase& all_reduce) {
  return out << all_reduce.name;
}

std::vector<AllReduceCase> AllReduceCases(int ranks) {
  std::vector<AllReduceCase> cases = {
      {"direct", AllReduceAlgorithm::kDirect, {}},
      {"ring", AllReduceAlgorithm::kRing, {}},
      {"halving-doubling", AllReduceAlgorithm::kHalvingDoubling, {}},
      {"hierarchical, hosts unknown", AllReduceAlgorithm::kHierarchical, {}},
  };
  const auto add = [&](std::string name, int (*host)(int rank, int ranks)) {
    std::vector<int> hosts;
    for (int rank = 0; rank < ranks; ++rank) hosts.push_back(host(rank, ranks));
    cases.push_back({"hierarchical, " + name, AllReduceAlgorithm::kHierarchical, hosts});
  };
  add("one host", [](int, int) { return 5; });
  add("a host each", [](int rank, int ranks) { return ranks - rank; });
  add("pairs", [](int rank, int) { return rank / 2; });
  add("two hosts, interleaved", [](int rank, int) { return 1 - rank % 2; });
  add("the last alone", [](int rank, int ranks) { return rank == ranks - 1 ? -3 : 7; });
  add("three, and the rest", [](int rank, int) { return rank < 3 ? 0 : 1; });
  return cases;
}

std::vector<float> RoughNumbers(int rank, int64_t elements) {
  std::vector<float> values(static_cast<size_t>(elements));
  const RandomKey key = RandomKey(2).With(static_cast<uint64_t>(rank));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(key.Below(2 * i, 1u << 24)) /
                static_cast<float>(1 + key.Below(2 * i + 1, 1u << 20));
  }
  return values;
}

std::vector<float> SumInDocumentedOrder(const AllReduceCase& all_reduce, int ranks,
                                        int64_t elements) {
  std::vector<Vector> inputs;
  for (int rank = 0; rank < ranks; ++rank) inputs.push_back(RoughNumbers(rank, elements));
  switch (all_reduce.algorithm) {
    case AllReduceAlgorithm::kRing:
      return SumByChunks(inputs);
    case AllReduceAlgorithm::kHalvingDoubling:
      return SumByTree(inputs);
    case AllReduceAlgorithm::kHierarchical:
      if (!all_reduce.host_of_rank.empty()) return SumByHosts(inputs, all_reduce.host_of_rank);
      break;
    case AllReduceAlgorithm::kAuto:
    case AllReduceAlgorithm::kDirect:
      break;
  }
  return SumAscending(inputs);
}

}  // namespace sluice
