#pragma once

#include <vector>

#include "policies/compression/compression_policy.h"
#include "policies/compression/plan.h"

namespace sluice {

/// "accordion": light compression of a layer while its gradient norm changes, strong while it settles.
///
/// From window to window, per eligible layer, with the norms of the windows' tensors: light when there was no
/// window before, when the old norm is 0, when a norm is not finite, or when
/// |old - new| / old >= accordion_threshold; else strong. Strong is the uniform reference. Light is the option of
/// the reference's kind with the least error among those of at most kLightBytes times the reference's bytes; of
/// any kind where none of its own has less error than the reference; the reference where no option has. A layer
/// whose reference has no finite error is sent raw. It holds the last norms, so windows must come in order.
/// Source: Agarwal et al. 2021, "Adaptive gradient communication via critical learning regime identification".
class AccordionPolicy : public CompressionPolicyMaker {
 public:
  /// "Twice", with what a finer scale per bucket adds: 8 bits in buckets of 128 are light beside 4 bits in
  /// buckets of 512.
  static constexpr double kLightBytes = 2.1;

  explicit AccordionPolicy(const proto::Compression& config);
  bool NeedsErrors() const override { return true; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;

  /// The norms, as little-endian doubles.
  std::string SaveState() const override;
  absl::Status RestoreState(absl::string_view bytes) override;

  /// What it chooses, before it is a plan.
  struct Choices {
    OptionIndices options;
    int light = 0;     ///< layers
    int eligible = 0;  ///< layers
  };
  /// Counts as one window. \error kInvalidArgument  as Plan
  absl::StatusOr<Choices> Choose(const proto::WindowStatistics& window);

 private:
  /// Whether the layer's norm changed fast since the window before.
  bool Changing(size_t layer, double norm) const;

  const proto::CodecChoice reference_;
  const double threshold_;
  std::vector<double> norms_;  // by layer, of the window before; empty at first
};

}  // namespace sluice
