#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/collective/collective_context.h"
#include "comm/transport/transport.h"

namespace sluice {

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
  /// Round 2: takes the sum of `chunk` as its owner encoded it. Chunks come in ascending order.
  virtual absl::Status TakeSum(int chunk, absl::Span<const std::byte> bytes) = 0;
};

/// Buffers that live from call to call, so that a steady state allocates nothing. Encodings start
/// at multiples of 64 bytes from the buffers' begin.
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
/// Receives are posted before anything is encoded, and each send starts as soon as it is encoded,
/// from the next rank on so that no rank is everybody's first. In a world of one only EncodeSum is
/// called. Source: CGX (Markov et al. 2022), section 2.2 of whose "SRA" this is. \error as
/// Transport; an error of `codec` comes back with the rank whose bytes it refused
absl::Status ScatterReduceAllGather(const CollectiveContext& context, ChunkCodec& codec,
                                    ScatterReduceBuffers& buffers);

}  // namespace sluice
