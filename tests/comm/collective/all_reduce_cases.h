#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "comm/collective/all_reduce.h"

namespace sluice {

/// A way to all-reduce a world of some size.
struct AllReduceCase {
  std::string name;
  AllReduceAlgorithm algorithm;
  std::vector<int> host_of_rank;

  AllReduceOptions options() const;
};

std::ostream& operator<<(std::ostream& out, const AllReduceCase& all_reduce);

/// Every algorithm, hierarchical ones with several layouts of hosts: equal, unequal, interleaved.
std::vector<AllReduceCase> AllReduceCases(int ranks);

/// Values whose sum depends on the order.
std::vector<float> RoughNumbers(int rank, int64_t elements);

/// The sum of RoughNumbers over `ranks` in the order that docs/collectives.md names.
std::vector<float> SumInDocumentedOrder(const AllReduceCase& all_reduce, int ranks,
                                        int64_t elements);

}  // namespace sluice
