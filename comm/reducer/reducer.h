#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/codec/codec.h"
#include "comm/collective/link_estimate.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"
#include "comm/reducer/not_finite.h"
#include "comm/reducer/wait_board.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What the reducer measured in one step.
struct ReductionStats {
  uint32_t plan_version = 0;
  int64_t sent_bytes = 0;        ///< at the transport, gradients alone
  absl::Duration exposed;        ///< Finish waited this long
  absl::Duration communication;  ///< first bucket full to last bucket reduced
  absl::Duration encode;         ///< error feedback, encoding and decoding
  /// The mean is of no use then, and whoever passes over the step does so on all ranks.
  std::optional<NotFinite> not_finite;
  bool not_finite_here = false;  ///< this rank's own loss or gradient is among its culprits
};

/// When things happened to one bucket in one step; times since BeginStep.
///
///     ready      started           received  reduced
///       |  waits    | encode, wire, decode |  |
///     --+-----------+----------------------+--+---->
///                          Finish called ^----^ exposed
struct BucketTimes {
  absl::Duration ready;     ///< its last gradient was there
  absl::Duration started;   ///< there was room for it in flight
  absl::Duration received;  ///< the last message was sent and taken
  absl::Duration reduced;   ///< the mean was there
  absl::Duration encode;    ///< time spent on error feedback and encoding
  absl::Duration decode;    ///< time spent on decoding and adding
  absl::Duration exposed;   ///< part of started to reduced in which the step loop waited
  /// Time in flight that was spent neither encoding nor decoding this bucket: on the wire, or
  /// waiting for the comm thread while that worked for another one.
  absl::Duration wire() const { return reduced - started - encode - decode; }
};

/// Averages gradients over the ranks, encoded per tensor as the current plan says, while backward
/// runs.
///
///     step loop              comm thread (owned by the reducer; alone touches the transport)
///     BeginStep(s)
///     Ready(t) ...    -->    bucket full: x = g / N + residual; scatter-reduce-allgather in place,
///     Finish()        <--    of several buckets at a time; last bucket done
///
/// Buckets start in the layout's order on every rank, whatever order they fill in. All ranks
/// decode the same bytes and end with identical bits. With error feedback, what encoding lost (the
/// sender's part and the owner's re-encoding) stays in the rank's residual: over the ranks, sum of
/// results plus sum of residuals equals the sum of inputs, to rounding.
///
/// Plans: a rank offers a plan as soon as it has it. Each frame of a step carries the newest
/// version that its sender held when the step began; the lowest of these is held by all. It takes
/// effect at the first later step >= effective_step, unless a higher one does. So all ranks switch
/// at the same step, and none waits (docs/adr/0002-plan-switch-agreed-in-band.md). Every frame also
/// carries the version in use; a mismatch is an error.
///
/// In a world of one nothing is encoded or sent. From the first step on, the reducer's own code
/// allocates at a new plan and for errors alone.
///
/// The life of a bucket, the threads and the arithmetic: docs/reducer.md.
class Reducer {
 public:
  struct Options {
    int world_size = 1;
    absl::Duration timeout = absl::Seconds(30);  ///< of one bucket's collective
    bool error_feedback = true;
    /// Of the buckets in flight, serve the one first that the next forward needs first (the
    /// youngest) instead of the oldest. Changes times, never results.
    bool forward_first = false;
    uint64_t seed = 0;  ///< of stochastic rounding
    /// Steps with `not_finite` are passed over: after one, residuals are as if it had not been. Takes
    /// memory for a second residual. Otherwise such a step is the last one that makes sense.
    bool skip_not_finite = false;
    /// Window accumulation for the profilers, the peers of the transport from `world_size` on
    /// (window_snapshot.h); 0 = off. Window w covers steps [w * n, (w + 1) * n), n = window_steps.
    /// A profiler that is lost costs a warning; training goes on.
    int64_t window_steps = 0;
    double window_decay = 1;  ///< in (0, 1]
    /// The first one that BeginStep gets; means, transfers and states before it belong to it.
    Step first_step;
    /// In force at the first step, whatever its effective_step; the same on all ranks. Version 0: raw.
    CodecPlan initial_plan;
  };

  /// Makes the transport on the comm thread, which alone may use it and destroys it at its end.
  using TransportFactory = std::function<absl::StatusOr<std::unique_ptr<Transport>>()>;

  /// Returns when the transport is there.
  /// \error kInvalidArgument  options that contradict each other, the layout or the transport
  /// \error of the factory
  static absl::StatusOr<std::unique_ptr<Reducer>> Create(const Options& options,
                                                         BucketLayout layout,
                                                         TransportFactory make_transport);

  /// Ends what is in flight, destroys the transport and joins the comm thread. A peer may still be
  /// receiving the last step's bytes: let all ranks pass a point after it (AllReduceMean, the
  /// control plane) before any destroys its reducer.
  virtual ~Reducer() = default;

  /// Where backward writes the gradient of `tensor`; stable for the reducer's life, 64-byte aligned
  /// per bucket. Between Finish and the next BeginStep it holds the averaged gradient.
  /// \threadsafety step loop only, like all below unless said otherwise
  virtual absl::Span<float> gradient(int tensor) = 0;

  /// Starts step `step`; gradients keep what they hold. \pre the step before was finished
  virtual void BeginStep(Step step) = 0;

  /// The gradient of `tensor`, all of it written in this step, is final; each tensor once per step.
  /// Returns at once.
  virtual void Ready(int tensor) = 0;

  /// This rank's loss is not finite, so that it has no gradients: all ranks learn that from Finish. Between
  /// BeginStep and the first Ready.
  virtual void LossNotFinite() = 0;

  /// Waits until all gradients are reduced. Tensors never marked Ready (unused in this step) count
  /// as zero.
  /// \error of the first failed collective, with step, bucket and peer in the message; the reducer
  ///        is then unusable: every later Finish and AllReduceMean returns the same
  virtual absl::StatusOr<ReductionStats> Finish() = 0;

  /// By bucket, of the step that Finish ended; until the next BeginStep.
  virtual absl::Span<const BucketTimes> bucket_times() const = 0;

  /// What the transfers so far say of the link to `peer`: nullopt until there were enough. Between
  /// steps.
  virtual std::optional<LinkEstimate> link(Rank peer) const = 0;

  /// data[i] = mean over ranks, the same bits on every rank. Blocks until all ranks have called it, as often and in
  /// the same order; on NCCL between Finish and the next BeginStep. In a step it goes before buckets, wherever
  /// these are: no rank waits for a bucket in between, so all get there. For batch norm's statistics.
  virtual absl::Status AllReduceMean(absl::Span<float> data) = 0;

  /// Hands over a plan that becomes usable as said above. A version not above those offered is
  /// ignored.
  /// \threadsafety any thread
  /// \error kInvalidArgument  wrong number of codecs, or a codec out of range
  virtual absl::Status OfferPlan(CodecPlan plan) = 0;

  /// What is waited for now. \threadsafety any thread
  virtual ReducerProgress progress() const = 0;

  /// Ends what is in flight, and all that comes, with kCancelled and `reason`.
  /// \threadsafety any thread
  virtual void Abort(absl::string_view reason) = 0;

  virtual const BucketLayout& layout() const = 0;

  /// Copies `bytes` of `from`, of any length, to the ranks of `to`, whose own are replaced. Between
  /// steps; every rank may call, at the same point and with the same arguments: the others return at
  /// once. Blocks, up to the timeout for every piece of transfer.h. A failure ends the reducer as in
  /// Finish. \error kDataLoss, kResourceExhausted as there, and of the transport
  virtual absl::Status Transfer(Rank from, absl::Span<const int> to, std::string& bytes) = 0;

  /// What this rank's next steps depend on beside the plan and the parameters: residuals, warm state
  /// of low-rank tensors, the window so far (reducer_state.h). Between steps; a copy.
  /// \error of the first failed collective: there is no consistent state any more
  virtual absl::StatusOr<std::string> SaveState() = 0;

  /// Takes over what SaveState gave before the same step, so that all further bits are those of the
  /// reducer it came from. Before the first step, on all ranks or on none: warm states must be equal.
  /// \param bytes           empty: a checkpoint without states; nothing is done
  /// \param decided_window  the last complete window is measured again if its number is above
  /// \error kDataLoss            no reducer's state
  /// \error kFailedPrecondition  of another rank, world, step or model: names both. After either the
  ///                             reducer is not to be used
  virtual absl::Status LoadState(absl::string_view bytes, int64_t decided_window) = 0;

  /// What encoding lost of these elements of `tensor` is not owed any more, as for those that are not trained from now
  /// on. Between steps, on any ranks. \error of the first failed collective
  virtual absl::Status ForgetResidual(int tensor, absl::Span<const ElementRange> ranges) = 0;

  /// The residual of `tensor`, zeros where nothing was lost. For tests, between steps.
  virtual std::vector<float> residual(int tensor) const = 0;
};

}  // namespace sluice
