#include "comm/collective/scatter_reduce.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/collective/request_set.h"

namespace sluice {
namespace {

enum Phase { kScatter = 0, kGather = 1 };

constexpr size_t kAlignment = 64;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Hands out consecutive aligned parts of a buffer.
class Parts {
 public:
  explicit Parts(std::vector<std::byte>& buffer) : rest_(absl::MakeSpan(buffer)) {}

  absl::Span<std::byte> Next(size_t bytes) {
    const absl::Span<std::byte> part = rest_.first(bytes);
    rest_.remove_prefix(Aligned(bytes));
    return part;
  }

 private:
  absl::Span<std::byte> rest_;
};

void GrowTo(std::vector<std::byte>& buffer, size_t bytes) {
  if (buffer.size() < bytes) buffer.resize(bytes);
}

// Layout of the buffers, every part aligned:
//   send:     my encodings for rank self + 1, self + 2, ...; then my sum
//   receive:  round 1 from rank 0, 1, ... (each as long as my chunk); then round 2 from rank 0, 1,
//   ...
// Requests in order: round 1 receives, round 2 receives (both by rank, without self), then sends.
absl::Status Run(const CollectiveContext& context, ChunkCodec& codec,
                 ScatterReduceBuffers& buffers) {
  const int ranks = context.world_size;
  const int self = static_cast<int>(context.transport.self().value);
  const size_t mine = codec.ChunkBytes(self);
  size_t others = 0;  // encodings of all chunks but mine
  for (int chunk = 0; chunk < ranks; ++chunk) {
    if (chunk != self) others += Aligned(codec.ChunkBytes(chunk));
  }
  const size_t round1 = static_cast<size_t>(ranks - 1) * Aligned(mine);
  GrowTo(buffers.send, others + Aligned(mine));
  GrowTo(buffers.receive, round1 + others);

  RequestSet requests(context, buffers.requests);
  Parts receive(buffers.receive);
  for (int from = 0; from < ranks; ++from) {
    if (from != self) requests.Receive(Rank(from), kScatter, receive.Next(mine));
  }
  for (int from = 0; from < ranks; ++from) {
    if (from == self) continue;
    requests.Receive(Rank(from), kGather, receive.Next(codec.ChunkBytes(from)));
  }

  Parts send(buffers.send);
  for (int distance = 1; distance < ranks; ++distance) {
    const int to = (self + distance) % ranks;
    const absl::Span<std::byte> encoding = send.Next(codec.ChunkBytes(to));
    codec.EncodeMine(to, encoding);
    requests.Send(Rank(to), kScatter, encoding);
  }

  Parts received(buffers.receive);
  size_t number = 0;
  for (int from = 0; from < ranks; ++from) {
    if (from == self) continue;
    SLUICE_RETURN_IF_ERROR(requests.Wait(number++));
    SLUICE_RETURN_IF_ERROR_AT(codec.AddReceived(Rank(from), received.Next(mine)),
                              absl::StrCat("encoding from rank ", from));
  }

  const absl::Span<std::byte> sum = send.Next(mine);
  codec.EncodeSum(sum);
  for (int distance = 1; distance < ranks; ++distance) {
    requests.Send(Rank((self + distance) % ranks), kGather, sum);
  }
  for (int from = 0; from < ranks; ++from) {
    if (from == self) continue;
    SLUICE_RETURN_IF_ERROR(requests.Wait(number++));
    SLUICE_RETURN_IF_ERROR_AT(codec.TakeSum(from, received.Next(codec.ChunkBytes(from))),
                              absl::StrCat("sum from rank ", from));
  }
  return requests.WaitForAll();
}

}  // namespace

absl::Status ScatterReduceAllGather(const CollectiveContext& context, ChunkCodec& codec,
                                    ScatterReduceBuffers& buffers) {
  SLUICE_RETURN_IF_ERROR_AT(Run(context, codec, buffers),
                            absl::StrCat("scatter-reduce-allgather ", context.operation));
  return absl::OkStatus();
}

}  // namespace sluice
