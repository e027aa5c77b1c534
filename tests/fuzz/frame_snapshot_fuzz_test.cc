// Window snapshots as a rank might send them to the profiler.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "comm/reducer/snapshot_message.h"
#include "comm/reducer/window_snapshot.h"
#include "comm/transport/inproc_transport.h"

namespace sluice {
namespace {

void CheckHeader(absl::Span<const std::byte> message) {
  const auto header = ReadSnapshotHeader(message);
  if (!header.ok()) return;
  SLUICE_CHECK(header->window >= 0 && header->last_step >= Step(0), "windows are not negative");
  SLUICE_CHECK(kSnapshotHeaderBytes +
                       static_cast<size_t>(header->floats + header->samples) * sizeof(float) ==
                   message.size(),
               "the length fits the number of floats");
  std::byte again[kSnapshotHeaderBytes];
  WriteSnapshotHeader(*header, absl::MakeSpan(again));
  for (size_t i = 0; i < kSnapshotHeaderBytes; ++i) {
    SLUICE_CHECK(again[i] == message[i], "a header that reads is written the same");
  }
}

void CheckReceiver(absl::Span<const std::byte> message) {
  const BucketLayout layout = *BucketLayout::Create({{"a", 8}, {"b", 2}}, 1024, 1);
  const auto transports = CreateInprocTransports(2);
  const RequestId sent = transports[0]->Send(Rank(1), kSnapshotTag, message);
  SLUICE_CHECK(transports[0]->Wait(sent, absl::InfiniteFuture()).ok(), "inproc sends succeed");
  SnapshotReceiver receiver(layout, *transports[1]);
  const auto snapshot = receiver.Receive(absl::InfinitePast());
  SLUICE_CHECK(!snapshot.ok() || snapshot->tensors[1].size() == 2, "a window has every tensor");
  SLUICE_CHECK(snapshot.ok() || snapshot.status().code() == absl::StatusCode::kDataLoss,
               "what is wrong with a message is its data");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::Span<const std::byte> message(reinterpret_cast<const std::byte*>(data), size);
  sluice::CheckHeader(message);
  sluice::CheckReceiver(message);
  return 0;
}
