#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/axis_analysis.h"
#include "models/graph/graph.h"

namespace sluice::graph {

/// A dimension of a parameter or buffer.
struct AxisPlace {
  ValueId state = 0;
  int32_t dim = 0;
};

/// Channel axes that are cut together: unit i of the class is one index on all of them.
struct ChannelClass {
  int32_t id = 0;  // ordinal in the order of the graph's values
  AxisId atom = 0;
  int64_t extent = 0;
  /// Units are kept in multiples of it, so that widths stay multiples of ClassOptions::divisor.
  int64_t divisor = 1;
  std::vector<AxisPlace> makers;     // weights of layers that it is the output of
  std::vector<AxisPlace> scalers;    // biases, norms, depthwise filters, positions, ...
  std::vector<AxisPlace> readers;    // weights of layers that it is the input of
  std::vector<std::string> reasons;  // why none of it can be removed; empty = it is prunable

  bool prunable() const { return reasons.empty(); }
};

struct ClassOptions {
  int64_t divisor = 8;  // above 0
  /// Patterns as of file names (*, ?, [a-z]) of parameters: what they make is kept whole.
  std::vector<std::string> keep;
  /// Where units of one class hold parts of those of another (heads and their width, groups of a convolution and
  /// channels in a group), one of both is prunable.
  enum class Nested { kOuter, kInner } nested = Nested::kOuter;
};

/// The classes of all channels that a trainable parameter makes or scales, prunable or not.
/// \error kInvalidArgument  a divisor below 1, or a pattern that no parameter's name matches
absl::StatusOr<std::vector<ChannelClass>> FindClasses(const Graph& graph,
                                                      const AxisAnalysis& analysis,
                                                      const ClassOptions& options);

/// Units that stay of `channels` when `kept` are wanted: the nearest multiple of its divisor, never none, never fewer than
/// leave `max_removed_share` of the class removed. All of them where the class is not prunable.
/// \pre 0 <= kept <= extent; 0 <= max_removed_share <= 1
int64_t RoundKept(const ChannelClass& channels, int64_t kept, double max_removed_share);

}  // namespace sluice::graph
