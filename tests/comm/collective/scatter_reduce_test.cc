#include "comm/collective/scatter_reduce.h"

#include <deque>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "comm/transport/inproc_transport.h"
#include "gtest/gtest.h"
#include "tests/comm/collective/span_codec.h"

namespace sluice {
namespace {

// Takes all that is over.
void TakeAll(Transport& transport, ScatterReduce& operation) {
  while (!operation.done()) {
    const auto over = transport.WaitAny(operation.heads(), absl::InfinitePast());
    if (!over) return;
    ASSERT_EQ(operation.Take(*over), absl::OkStatus());
  }
}

// Chunks of 4, 3 and 3 segments; one rank does its work only when it has nothing to take.
TEST(ScatterReduce, ARankWhoseWorkComesLastEndsWithItsLastSend) {
  constexpr int kRanks = 3;
  for (int last = 0; last < kRanks; ++last) {
    const auto transports = CreateInprocTransports(kRanks);
    std::vector<std::vector<float>> data(kRanks, std::vector<float>(9001, 1.0f));
    std::deque<SpanCodec> codecs;
    std::deque<ScatterReduce> operations(kRanks);
    for (size_t rank = 0; rank < kRanks; ++rank) {
      const CollectiveContext context = {*transports[rank], kRanks, 1, absl::InfiniteFuture()};
      codecs.emplace_back(SpanCodec::Kind::kRaw, context, absl::MakeSpan(data[rank]));
      operations[rank].Start(context, codecs[rank]);
    }
    const auto busy = static_cast<size_t>(last);
    for (size_t rank = 0; rank < kRanks; ++rank) {
      while (rank != busy && operations[rank].HasWork()) operations[rank].Work();
    }
    while (operations[busy].HasWork()) {
      operations[busy].Work();
      for (int round = 0; round < 2; ++round) {
        for (size_t rank = 0; rank < kRanks; ++rank) TakeAll(*transports[rank], operations[rank]);
      }
    }
    for (size_t rank = 0; rank < kRanks; ++rank) {
      EXPECT_TRUE(operations[rank].done()) << "rank " << rank << ", last " << last;
      EXPECT_EQ(data[rank], std::vector<float>(9001, 3.0f));
    }
  }
}

}  // namespace
}  // namespace sluice
