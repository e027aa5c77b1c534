#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Turns a window's statistics into a plan: numbers in, assignment out. Pure, but for "plugin": the
/// same statistics, window after window, give the same plans, bit for bit. Version, effective step
/// and solve time are the coordinator's to fill in. \threadsafety one thread at a time
class CompressionPolicyMaker {
 public:
  virtual ~CompressionPolicyMaker() = default;

  /// True when the plan needs a window's statistics; false: Plan is called before training, once for
  /// the end of the warm-up and once for each of LaterSteps(), with statistics that hold layers and
  /// sizes but no errors, and the last_step whose EffectiveStep() that is.
  virtual bool NeedsErrors() const = 0;

  /// Steps after the warm-up at which a policy that needs no errors changes its plan, ascending. Few
  /// ever do.
  virtual std::vector<int64_t> LaterSteps() const { return {}; }

  /// \return a choice for every layer, in the order of `window.layers`; `reason` says in one
  /// sentence
  ///         what was decided and why. NaN or infinite errors disqualify an option (raw stays);
  ///         statistics that allow no better plan give the uniform one, and say so. Policies
  ///         without a budget leave error, budget and lower_bound_bytes at 0.
  /// \error kInvalidArgument  no layers, a layer without a raw option, an eligible layer without
  /// the
  ///                          uniform option (not for "none"), bytes that are negative or not
  ///                          finite
  /// \error kUnavailable      no plan this time, the message says why: the one in force stays
  virtual absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) = 0;

  /// Whether `current`, the plan in force, should stay although `fresh` is the plan for `window`:
  /// so that plans do not flap where little is gained.
  virtual bool Keeps(const proto::WindowStatistics& window, const proto::CompressionPolicy& current,
                     const proto::CompressionPolicy& fresh) const {
    (void)window, (void)current, (void)fresh;
    return false;
  }

  /// What Plan remembers of the windows so far, for a checkpoint; empty: nothing.
  virtual std::string SaveState() const { return {}; }
  /// Takes over what SaveState gave: the next plans are those of the policy it came from. Before the
  /// first Plan. \error kDataLoss  no state of this policy; nothing was changed
  virtual absl::Status RestoreState(absl::string_view bytes) {
    if (bytes.empty()) return absl::OkStatus();
    return absl::DataLossError("state of another policy: this one remembers nothing");
  }
};

/// The policy that the job names: one of those in registry.cc. "plugin" starts its plugin.
/// \error kInvalidArgument  unknown name: lists the known ones; a plan_file that
///                          cannot be played; a quantiser that cannot have
///                          uniform_bits; an unknown metric; "global_topk" without top-k; "plugin" without a path
/// \error kFailedPrecondition  a plugin that does not start
absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> CreateCompressionPolicy(
    const proto::Compression& config);

/// Whether that policy needs a window's statistics; starts no plugin.
/// \error kInvalidArgument  as CreateCompressionPolicy
absl::StatusOr<bool> PolicyNeedsErrors(const proto::Compression& config);

/// The names that there are, sorted.
std::vector<std::string> CompressionPolicyNames();

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
