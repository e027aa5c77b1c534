#pragma once

#include <functional>

#include "models/graph/graph.h"

namespace sluice::graph {

/// What elements of a tensor are while some parameters are zero, from the most to the least that is known.
enum class ZeroLabel { kZero, kConstant, kAny };

/// What an operator that is no layer and no norm makes of its tensors. Those and unknown operators: kAny.
ZeroLabel FollowZeros(const Node& node, const std::function<ZeroLabel(ValueId)>& label_of);

}  // namespace sluice::graph
