#pragma once

#include "policies/compression/compression_policy.h"

namespace sluice {

/// "none": every layer raw. The baseline. uniform_bytes is 0 when the statistics lack the
/// reference.
class NonePolicy : public CompressionPolicyMaker {
 public:
  explicit NonePolicy(const proto::Compression& config) : reference_(UniformCodec(config)) {}
  bool NeedsErrors() const override { return false; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;

 private:
  proto::CodecChoice reference_;
};

}  // namespace sluice
