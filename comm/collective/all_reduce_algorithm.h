#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// The ways to sum a vector over all ranks (docs/collectives.md).
enum class AllReduceAlgorithm {
  kAuto,             // the cheapest of the others by the cost model
  kDirect,           // every rank sums one chunk of the vector: 2 latency steps
  kRing,             // every rank talks to its neighbours alone
  kHalvingDoubling,  // pairs at doubling distances: 2 log2 N latency steps, few messages
  kHierarchical,     // direct inside each host, and direct across hosts: 4 latency steps
};

/// "auto", "direct", "ring", "halving-doubling", "hierarchical".
absl::string_view ToString(AllReduceAlgorithm algorithm);

/// \error kInvalidArgument  naming `text` and the names there are
absl::StatusOr<AllReduceAlgorithm> ParseAllReduceAlgorithm(absl::string_view text);

}  // namespace sluice
