#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What every collective needs: the transport, who takes part, and the name of this operation.
struct CollectiveContext {
  Transport& transport;
  /// Ranks 0 to world_size - 1 take part; further peers of the transport do not.
  int world_size = 0;
  /// Names the operation: equal on all ranks, different from every other one in flight. Below 2^32. Each
  /// collective uses tags (operation << 8) + phase.
  uint32_t operation = 0;
  /// No operation outlives it; afterwards the buffers' contents are unspecified.
  absl::Time deadline;
};

/// All collectives: every rank calls with buffers of equal length; on an error the caller must not use
/// the transport for another collective (a peer may be in the middle of this one): membership decides.
/// Errors are those of Transport, with the collective's name in front.
/// \threadsafety comm thread only

/// data[i] = sum over ranks of data[i], in a fixed order: the same bits on every rank and every run.
/// Cost: 2 (N - 1) steps; each rank sends 2 (N - 1) / N of the vector.
/// Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<float> data);
absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<double> data);

/// Every rank gets root's bytes, along a binomial tree. Cost: ceil(log2 N) steps.
absl::Status Broadcast(const CollectiveContext& context, Rank root, absl::Span<std::byte> data);

/// out = the `mine` of rank 0, of rank 1, ...; out.size() == world_size * mine.size().
/// Ring; cost: N - 1 steps, each rank sends (N - 1) times `mine`.
absl::Status AllGather(const CollectiveContext& context, absl::Span<const std::byte> mine,
                       absl::Span<std::byte> out);

/// Returns when every rank has called it (dissemination). Cost: ceil(log2 N) steps.
absl::Status Barrier(const CollectiveContext& context);

/// What the scatter-reduce-allgather does with one rank's chunk of the vector. The caller owns the
/// vector, the encodings and the residuals; the collective owns order and transfer.
class ChunkCodec {
 public:
  virtual ~ChunkCodec() = default;
  /// Length of the encoding of chunk `chunk`, equal on all ranks and in both rounds.
  virtual size_t ChunkBytes(int chunk) const = 0;
  /// Round 1: writes the encoding of my values of `chunk`, another rank's.
  virtual void EncodeMine(int chunk, absl::Span<std::byte> out) = 0;
  /// Round 1: adds what `from` sent for my chunk; called in ascending order of ranks.
  virtual absl::Status AddReceived(Rank from, absl::Span<const std::byte> bytes) = 0;
  /// Round 2: writes the encoding of my summed chunk, and takes its decoded value for itself.
  virtual void EncodeSum(absl::Span<std::byte> out) = 0;
  /// Round 2: takes the sum of `chunk` as its owner encoded it.
  virtual absl::Status TakeSum(int chunk, absl::Span<const std::byte> bytes) = 0;
};

/// Buffers that live from call to call, so that a steady state allocates nothing.
struct ScatterReduceBuffers {
  std::vector<std::byte> send;
  std::vector<std::byte> receive;
  std::vector<RequestId> requests;
};

/// Sums encoded chunks; chunk r belongs to rank r. Every rank ends with the same bytes decoded.
///
///     round 1: encode my values of chunk j, send to rank j, for each j; receive N - 1 encodings of
///              my chunk, add them in ascending rank order to my exact values
///     round 2: encode my sum once, send those bytes to all, decode them myself too
///
/// Cost: 2 latency steps, 2 (N - 1) messages, each rank sends about 2 (N - 1) / N of the encoding.
/// Receives are posted before anything is encoded, and each send starts as soon as it is encoded.
/// Source: CGX (Markov et al. 2022), section 2.2 of whose "SRA" this is.
absl::Status ScatterReduceAllGather(const CollectiveContext& context, ChunkCodec& codec,
                                    ScatterReduceBuffers& buffers);

}  // namespace sluice
