#pragma once

#include "absl/status/status.h"
#include "models/graph/groups.h"
#include "models/graph/program.h"

namespace sluice::graph {

/// Takes the cut's gone nodes out of the program, and with them states that only they read and what only training does with
/// those. Ids are given anew, so they are no longer the graph's. What is left changes nothing in place: its tensors may be
/// others than those that were checked.
/// \error kInvalidArgument  what is left reads what is gone; an operator that there is in place alone
absl::Status LeaveOut(const Cut& cut, Program* program);

}  // namespace sluice::graph
