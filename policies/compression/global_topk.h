#pragma once

#include "absl/status/status.h"
#include "policies/compression/compression_policy.h"

namespace sluice {

/// "global_topk": the uniform reference's bytes, spent where a byte removes the most squared error.
///
/// One threshold of magnitude for all layers is what minimises the squared error of top-k for given bytes; each
/// layer's density follows from its own values. Here the densities are those that were measured: per layer the
/// lower convex hull of its top-k options in (bytes, squared error), all hulls walked together from the fewest
/// bytes on, the steepest edge first, so that what a byte removes is equal over layers but for the hulls' steps.
/// An edge that does not fit in the bytes ends its own layer's walk; the others go on. Never more bytes nor more
/// squared error than the uniform reference: else the uniform plan, and `reason` says so. A layer without a
/// finite error for the reference keeps the reference. Cost: O(N log N) for N options.
/// Source: Sahu et al. 2021, "Rethinking gradient sparsification as total error minimization".
class GlobalTopKPolicy : public CompressionPolicyMaker {
 public:
  explicit GlobalTopKPolicy(const proto::Compression& config) : reference_(UniformCodec(config)) {}
  bool NeedsErrors() const override { return true; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;

 private:
  const proto::CodecChoice reference_;
};

/// Whether the job has what "global_topk" needs: a reference of top-k, and the family among the candidates.
/// \error kInvalidArgument  it has not: which key to set
absl::Status CheckGlobalTopK(const proto::Compression& config);

}  // namespace sluice
