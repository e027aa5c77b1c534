#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/policy.pb.h"

namespace sluice {

/// One option per layer of a window: indices into LayerStatistics.options.
using OptionIndices = std::vector<int>;

/// Index of `codec` among the layer's options, -1 if it is none of them.
int FindOption(const proto::LayerStatistics& layer, const proto::CodecChoice& codec);

/// Raw everywhere.
/// \error kInvalidArgument  no layers; a layer without raw; bytes that are negative or not finite
absl::StatusOr<OptionIndices> RawOptions(const proto::WindowStatistics& window);

/// `reference` on eligible layers, raw on the others.
/// \error kInvalidArgument  as RawOptions, and an eligible layer without the reference
absl::StatusOr<OptionIndices> UniformOptions(const proto::WindowStatistics& window,
                                             const proto::CodecChoice& reference);

/// The options that a plan chose among those of `window`; nullopt when the layers are others or an
/// option is not there.
std::optional<OptionIndices> OptionsOf(const proto::WindowStatistics& window,
                                       const proto::CompressionPolicy& plan);

/// What one rank sends per step: the options' bytes and the fixed ones.
double PlanBytes(const proto::WindowStatistics& window, const OptionIndices& options);

/// A plan with layers, predicted_bytes and reason.
proto::CompressionPolicy MakePlan(const proto::WindowStatistics& window,
                                  const OptionIndices& options, std::string reason);

}  // namespace sluice
