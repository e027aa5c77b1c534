#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "policies/compression/compression_policy.h"

namespace sluice {

/// "recorded": plays the plans of `plan_file`, the policies.jsonl of an earlier run or what
/// `orchestrator plan --json` printed.
///
/// A window's plan takes effect at EffectiveStep(last_step). What it gets is the newest recorded
/// plan, the last in the file, whose effective_step is not after that step; raw before the first
/// one. So a run of the same length of warm-up switches at the recorded steps, and a longer warm-up
/// skips the plans it covers. Layers are matched by name. predicted_bytes is the recorded number
/// where the statistics lack a chosen codec.
class RecordedPolicy : public CompressionPolicyMaker {
 public:
  /// Reads the file. \error kInvalidArgument  no plan_file, or one that cannot be read, is damaged
  /// or empty
  static absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> Create(
      const proto::Compression& config);

  bool NeedsErrors() const override { return false; }
  std::vector<int64_t> LaterSteps() const override;

  /// \error kFailedPrecondition  the recorded plan is of another model: names the layer
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;

 private:
  RecordedPolicy(const proto::Compression& config, std::vector<proto::CompressionPolicy> plans,
                 std::string warning)
      : config_(config), plans_(std::move(plans)), warning_(std::move(warning)) {}

  const proto::Compression config_;
  const std::vector<proto::CompressionPolicy> plans_;  // in the order of the file
  const std::string warning_;
};

}  // namespace sluice
