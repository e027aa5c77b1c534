#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

/// Replaces the values by their sums over all ranks, the same bits on every rank. Blocks until all ranks have called it;
/// they do so with equally many values and in the same order.
using SumOverRanks = std::function<absl::Status(absl::Span<float> values)>;

}  // namespace sluice
