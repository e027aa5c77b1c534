#include "comm/collective/all_reduce_algorithm.h"

#include "absl/strings/str_cat.h"

namespace sluice {

absl::string_view ToString(AllReduceAlgorithm algorithm) {
  switch (algorithm) {
    case AllReduceAlgorithm::kAuto:
      return "auto";
    case AllReduceAlgorithm::kDirect:
      return "direct";
    case AllReduceAlgorithm::kRing:
      return "ring";
    case AllReduceAlgorithm::kHalvingDoubling:
      return "halving-doubling";
    case AllReduceAlgorithm::kHierarchical:
      return "hierarchical";
  }
  return "?";
}

absl::StatusOr<AllReduceAlgorithm> ParseAllReduceAlgorithm(absl::string_view text) {
  for (AllReduceAlgorithm algorithm :
       {AllReduceAlgorithm::kAuto, AllReduceAlgorithm::kDirect, AllReduceAlgorithm::kRing,
        AllReduceAlgorithm::kHalvingDoubling, AllReduceAlgorithm::kHierarchical}) {
    if (text == ToString(algorithm)) return algorithm;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("all-reduce algorithm \"", text,
                   "\" is not one of auto, direct, ring, halving-doubling, hierarchical"));
}

}  // namespace sluice
