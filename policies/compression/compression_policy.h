#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Turns a window's statistics into a plan: numbers in, assignment out. Pure: the same statistics
/// give the same plan, bit for bit. Version, effective step and solve time are the coordinator's to
/// fill in. \threadsafety one thread at a time
class CompressionPolicyMaker {
 public:
  virtual ~CompressionPolicyMaker() = default;

  /// True when the plan needs a window's statistics; false: Plan is called once, with statistics
  /// that hold layers and sizes but no errors.
  virtual bool NeedsErrors() const = 0;

  /// \return a choice for every layer, in the order of `window.layers`; `reason` says in one
  /// sentence
  ///         what was decided and why. NaN or infinite errors disqualify an option (raw stays);
  ///         statistics that allow no better plan give the uniform one, and say so. Policies
  ///         without a budget leave error, budget and lower_bound_bytes at 0.
  /// \error kInvalidArgument  no layers, a layer without a raw option, an eligible layer without
  /// the
  ///                          uniform option (not for "none"), bytes that are negative or not
  ///                          finite
  virtual absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) = 0;
};

/// The policy that the job names: "none", "uniform" or "lgreco".
/// \error kInvalidArgument  unknown name: lists the known ones; a quantiser that cannot have
///                          uniform_bits; "lgreco" with an unknown metric
absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> CreateCompressionPolicy(
    const proto::Compression& config);

/// The options of an eligible layer, without duplicates: raw, the uniform reference, then what the
/// job's candidate_families give, in this order whatever the job's:
///
///     cast       fp16
///     quantizer  the job's, every (bits, bucket) that it can have
///     clipped (1 and 2 bits), sign, ternary: in every candidate bucket
///     topk       every density, its values with value_bits and with 8
///     lowrank    every rank whose factors have fewer values than the layer, which also keeps it
///                below full rank; value_bits, but 8 at the least
///     drop       nothing
///
/// What a layer gains from them depends on how it is cut into pieces: profilers leave out those
/// that would not be smaller than raw.
std::vector<proto::CodecChoice> CandidateCodecs(const proto::Compression& config,
                                                const proto::TensorSpec& tensor);

/// The uniform reference (c0 in the L-GreCo paper): the codec that uniform_codec names, with the
/// parameters that it has among uniform_bits, uniform_bucket, uniform_density, uniform_rank and
/// value_bits.
proto::CodecChoice UniformCodec(const proto::Compression& config);

/// Whether a layer may be compressed at all: two dimensions or more, and min_elements. When the
/// reference is of low rank, its factors must also have less than half of the layer's elements.
bool IsEligible(const proto::Compression& config, const proto::TensorSpec& tensor);

}  // namespace sluice
