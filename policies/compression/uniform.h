#pragma once

#include "policies/compression/compression_policy.h"

namespace sluice {

/// "uniform": the reference codec on every eligible layer, raw on the others.
class UniformPolicy : public CompressionPolicyMaker {
 public:
  explicit UniformPolicy(const proto::Compression& config) : reference_(UniformCodec(config)) {}
  bool NeedsErrors() const override { return false; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;

 private:
  proto::CodecChoice reference_;
};

}  // namespace sluice
