#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/graph/axis_analysis.h"
#include "models/graph/graph.h"
#include "models/graph/groups.h"

namespace sluice::graph {

/// Operators in a row, each the only one that reads what the one before makes; or one joint, an operator of several
/// tensors that depend on the inputs. What does not depend on the inputs (weights that are transposed, positions)
/// belongs to what reads it.
struct Stretch {
  enum class Joint { kNone, kAdd, kConcatenate, kOther };

  std::vector<int32_t> nodes;  // in the order of the graph
  Joint joint = Joint::kNone;
  std::vector<int32_t> before;       // stretches that it reads, ascending
  std::vector<int32_t> after;        // stretches that read it, ascending
  std::vector<int32_t> may_alone;    // a joint: those of `before` that alone would give its shape
  std::vector<ValueId> inputs;       // of the graph, that it reads
  bool input_may_alone = false;      // a joint: an input of the graph alone would give its shape
  bool makes_output = false;         // of the graph
  std::vector<ValueId> parameters;   // trainable, of its nodes
  std::vector<AxisId> channels;      // atoms that it alone makes, behind concatenations; ascending
  std::vector<std::string> reasons;  // why it cannot be erased; empty = it can

  bool erasable() const { return reasons.empty(); }
};

/// All stretches of a graph, in the order of their first nodes. Each node that depends on an input is in one.
/// Source: OTOv3 (Chen et al., arXiv 2312.09411), the construction of its search space.
///
/// A stretch can be erased if it has parameters of its own, all that reads it are sums or concatenations that can do
/// without it, and it gives zeros when its parameters are zero.
std::vector<Stretch> FindStretches(const Graph& graph, const AxisAnalysis& analysis);

/// Why the network would not be one without the erased stretches; nullopt if it would. Each input must reach an output,
/// each output must be made, and each joint must be left with a tensor of its shape; but a sum that only sums read may
/// lose all that it adds, since it is a part of theirs. With more stretches erased a breach stays one.
/// O(stretches + edges).
/// \param erased  one per stretch
std::optional<std::string> ErasureBreach(const Graph& graph, const std::vector<Stretch>& stretches,
                                         const std::vector<bool>& erased);

/// Goes down `order` and takes each erasable stretch without which, and without those taken before, the network still is
/// one, until it has `count`. Fewer if no more can go. Source: H2SPG in the same paper.
/// \param order  stretches, the first to go first
std::vector<int32_t> ChooseErasures(const Graph& graph, const std::vector<Stretch>& stretches,
                                    const std::vector<int32_t>& order, size_t count);

/// What a person would call it: the module that all its parameters are in and no others, else all their modules.
std::string NameOf(const Graph& graph, const std::vector<Stretch>& stretches, int32_t stretch);

/// A line per stretch with parameters: its name, how many they are, and why it cannot be erased. Lines end with '\n'.
std::string StretchTable(const Graph& graph, const std::vector<Stretch>& stretches);

/// All parameters of an erasable stretch, as a group; class_id is `stretch`, its index.
Group ErasureGroup(const Graph& graph, const std::vector<Stretch>& stretches, int32_t stretch);

}  // namespace sluice::graph
