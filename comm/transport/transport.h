#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"

namespace sluice {

/// Names one message between two ranks: both sides derive it from what the message is (operation,
/// step, bucket), never from a call counter. Below 2^40.
using MessageTag = uint64_t;
inline constexpr int kMessageTagBits = 40;

/// A started operation, valid until Test or Wait has returned its outcome once.
using RequestId = uint64_t;
/// Never the id of an operation.
inline constexpr RequestId kNoRequest = 0;

/// Bytes that the transport was asked to send or has received, payload alone.
struct TransportCounters {
  int64_t sent_bytes = 0;
  int64_t received_bytes = 0;
  int64_t sent_messages = 0;
  int64_t received_messages = 0;
};

/// Moves bytes between the peers of one generation. Peers are numbered 0 to peers() - 1: the
/// workers by rank, then profilers.
///
/// Messages with the same (sender, tag) arrive in the order sent. A message that nobody receives
/// yet waits. Zero-length messages are allowed. Sending to oneself is not.
///
/// \threadsafety comm thread only, but for Abort and Wake
class Transport {
 public:
  virtual ~Transport() = default;

  virtual Rank self() const = 0;
  virtual int peers() const = 0;

  /// Starts to send. `bytes` must stay unchanged until the request is over. Errors surface in
  /// Test/Wait.
  virtual RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) = 0;

  /// Starts to receive a message of exactly `bytes.size()` bytes; another length ends the request
  /// with kDataLoss naming both.
  virtual RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) = 0;

  /// Makes progress; the outcome if the request is over, else nullopt.
  ///
  /// \error kUnavailable       the peer is gone
  /// \error kDataLoss          length mismatch
  /// \error kCancelled         Abort was called
  /// The message names operation, tag, peer and bytes.
  virtual std::optional<absl::Status> Test(RequestId request) = 0;

  /// Test until the outcome is there. Polls briefly, then sleeps in the kernel.
  /// \error kDeadlineExceeded  `deadline` passed; the request is cancelled and its buffer is free
  /// again
  virtual absl::Status Wait(RequestId request, absl::Time deadline) = 0;

  /// Sleeps like Wait until one of `requests` is over, and retires none: Test then has its outcome.
  /// \param requests  kNoRequest entries are passed over
  /// \return the position of the first that is over; nullopt when there is none and `deadline` passed,
  ///         Wake was called or all are kNoRequest
  virtual std::optional<size_t> WaitAny(absl::Span<const RequestId> requests,
                                        absl::Time deadline) = 0;

  /// Ends the WaitAny that the comm thread is in, or else the next one, early: it returns nullopt.
  /// Several calls before that count once. \threadsafety any thread, before destruction
  virtual void Wake() = 0;

  /// Ends every present and future operation with kCancelled and `reason`. Idempotent: the first
  /// reason stays. \threadsafety any thread, and from a signal-free context at any time before
  /// destruction
  virtual void Abort(absl::string_view reason) = 0;

  virtual TransportCounters counters() const = 0;
};

/// Retires all of `requests` but kNoRequest entries, so that their buffers are free. Waits for them
/// in the order given; after the first error those that are not over yet are cancelled at once.
/// \return the first error in the order given
absl::Status WaitAll(Transport& transport, absl::Span<const RequestId> requests,
                     absl::Time deadline);

}  // namespace sluice
