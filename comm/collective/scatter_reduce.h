#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/collective/collective_context.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What the scatter-reduce-allgather does with one rank's chunk of the vector. The caller owns the
/// vector, the encodings and the residuals; the collective owns order and transfer.
///
/// A chunk is cut into segments, each of which is one message: while one is on its way, the next is
/// encoded and the one before added.
class ChunkCodec {
 public:
  virtual ~ChunkCodec() = default;
  /// Segments of chunk `chunk`, equal on all ranks; at least 1.
  virtual int Segments(int chunk) const = 0;
  /// Length of the encoding of a segment, equal on all ranks and in both rounds.
  virtual size_t SegmentBytes(int chunk, int segment) const = 0;
  /// Round 1: writes the encoding of my values of `chunk`, another rank's.
  virtual void EncodeMine(int chunk, int segment, absl::Span<std::byte> out) = 0;
  /// A message of `from` is here; its turn to be added or taken comes later. For measurement.
  virtual void Arrived(Rank from, absl::Span<const std::byte> bytes) = 0;
  /// Round 1: adds what `from` sent for my chunk; for a segment in ascending order of ranks.
  virtual absl::Status AddReceived(Rank from, int segment, absl::Span<const std::byte> bytes) = 0;
  /// Round 2: writes the encoding of a segment of my summed chunk, and takes its decoded value for
  /// itself.
  virtual void EncodeSum(int segment, absl::Span<std::byte> out) = 0;
  /// Round 2: takes the sum of `chunk` as its owner encoded it.
  virtual absl::Status TakeSum(int chunk, int segment, absl::Span<const std::byte> bytes) = 0;
};

/// Sums encoded chunks; chunk r belongs to rank r. Every rank ends with the same bytes decoded.
///
///     round 1: encode my values of chunk j, send to rank j, for each j; receive N - 1 encodings of
///              my chunk, add them in ascending rank order to my exact values
///     round 2: encode my sum once, send those bytes to all, decode them myself too
///
/// Cost: 2 latency steps, 2 (N - 1) messages per segment, each rank sends about 2 (N - 1) / N of
/// the encoding: for sparse encodings as well, since the owner encodes the sum anew, where an
/// all-gather's traffic would grow with N. In a world of one only EncodeSum is called. Source: CGX
/// (Markov et al. 2022), section 2.2 of whose "SRA" this is.
///
/// It never waits, so that many can be in flight on one thread:
///
///     Start; until done(): Take a head that is over; else Work, if HasWork(); else wait for a head
///
/// Receives are posted before anything is encoded. Each send starts as soon as it is encoded, from
/// the next rank on so that no rank is everybody's first. The sums do not depend on when messages
/// arrive. Buffers stay for the next Start: a steady state allocates nothing.
/// \threadsafety comm thread only
class ScatterReduce {
 public:
  ScatterReduce() = default;
  ScatterReduce(const ScatterReduce&) = delete;
  ScatterReduce& operator=(const ScatterReduce&) = delete;
  ~ScatterReduce() { Cancel(); }

  /// \pre done(). `context.transport` and `codec` must stay until done() or Cancel.
  void Start(const CollectiveContext& context, ChunkCodec& codec);

  /// Whether there is something to encode.
  bool HasWork() const { return work_segment_ < work_segments_; }
  /// Encodes one segment and sends it. \pre HasWork()
  void Work();

  /// Requests to wait for, some of them kNoRequest; none at all only when done() or HasWork().
  absl::Span<const RequestId> heads() const { return heads_; }
  /// heads()[head] is over: goes on with what that allows.
  /// \error of the request, or of the codec with the rank whose bytes it refused; Cancel is then
  ///        all that is left
  absl::Status Take(size_t head);

  /// deadline() has passed: takes the first head, whose request that ends if it is not over.
  /// \pre neither done() nor HasWork()
  absl::Status TakeOverdue();

  bool done() const { return !context_.has_value(); }

  /// Whether messages of rank `from` have not all arrived: those of round 1 as long as any rank's are
  /// missing, since nobody else's sum can come before they are there; else those of round 2.
  /// \pre not done()
  bool Awaits(int from) const {
    return heads_[open_scatters_ > 0 ? ScatterHead(from) : GatherHead(from)] != kNoRequest;
  }

  /// Ends what is in flight, so that the buffers are free.
  void Cancel();

  /// \pre not done()
  absl::Time deadline() const { return context_->deadline; }
  uint32_t operation() const { return context_->operation; }

 private:
  /// Messages with one peer in one round, by segment.
  struct Stream {
    std::vector<absl::Span<std::byte>> parts;  // of receive_
    std::vector<RequestId> requests;
    size_t arrived = 0;
  };

  size_t ScatterHead(int from) const { return static_cast<size_t>(from); }
  size_t GatherHead(int from) const { return static_cast<size_t>(ranks_ + from); }
  size_t SendHead() const { return static_cast<size_t>(2 * ranks_); }

  MessageTag Tag(int round) const;
  void PostReceives(int round, int from, int chunk, absl::Span<std::byte>& buffer);
  absl::Span<std::byte> NextSendPart(size_t bytes);
  void Send(int to, int round, absl::Span<const std::byte> bytes);
  absl::Status TakeArrived(Stream& stream, int from, size_t head);
  absl::Status AddWhatIsHere();
  void EndIfComplete();

  std::optional<CollectiveContext> context_;  // while not done
  ChunkCodec* codec_ = nullptr;
  int ranks_ = 0;
  int self_ = 0;

  std::vector<std::byte> send_;     // my encodings, then my sums, in the order of sending
  std::vector<std::byte> receive_;  // what I receive, stream after stream
  size_t send_used_ = 0;
  std::vector<Stream> scatter_;  // round 1, by rank
  std::vector<Stream> gather_;   // round 2, by rank
  std::vector<RequestId> sends_;
  size_t sends_over_ = 0;         // of the first in sends_
  std::vector<RequestId> heads_;  // by ScatterHead, GatherHead, SendHead

  int work_segment_ = 0;  // the next to encode, for the rank at work_distance_
  int work_segments_ = 0;
  int work_distance_ = 1;
  std::vector<int> added_;  // by segment of my chunk: ranks before this one are added
  int sums_sent_ = 0;       // segments
  int open_streams_ = 0;    // of both rounds: not everything has arrived
  int open_scatters_ = 0;   // of round 1
};

/// Runs `operation` to its end. \error as Take, or kDeadlineExceeded; nothing is left in flight
absl::Status ScatterReduceAllGather(const CollectiveContext& context, ChunkCodec& codec,
                                    ScatterReduce& operation);

}  // namespace sluice
