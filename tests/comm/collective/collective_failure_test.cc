// What the survivors of a failed collective see.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "comm/collective/all_gather.h"
#include "comm/collective/all_reduce.h"
#include "comm/collective/barrier.h"
#include "comm/collective/broadcast.h"
#include "comm/collective/request_set.h"
#include "comm/collective/scatter_reduce.h"
#include "comm/transport/faulty_transport.h"
#include "comm/transport/inproc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/collective/span_codec.h"
#include "tests/comm/transport/transport_mesh.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;

absl::Status ReduceRaw(const CollectiveContext& context, std::vector<float>& data) {
  SpanCodec codec(SpanCodec::Kind::kRaw, context, absl::MakeSpan(data));
  ScatterReduce operation;
  return ScatterReduceAllGather(context, codec, operation);
}

absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<float> data) {
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kRing;
  AllReduceBuffers buffers;
  return AllReduce(context, options, data, buffers);
}

class CollectiveFailure : public testing::TestWithParam<MeshKind> {};

INSTANTIATE_TEST_SUITE_P(All, CollectiveFailure,
                         testing::Values(MeshKind::kInproc, MeshKind::kUcxTcp, MeshKind::kUcxShm),
                         [](const auto& info) { return ToString(info.param); });

TEST_P(CollectiveFailure, RankThatLeavesBetweenTheRoundsEndsScatterReduceOnAllOthers) {
  RunRanks(CreateMesh(GetParam(), 3), [](Transport& transport, int rank) {
    const CollectiveContext context{transport, 3, 9, Never()};
    std::vector<float> data(30000, 1.0f);
    if (rank == 2) {
      // Rank 0 gets round 1 of rank 2, rank 1 does not: rank 0 may then wait for rank 1 in round 2.
      const std::vector<std::byte> segment(4000);
      for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(transport.Wait(transport.Send(Rank(0), 9 << 8, segment), Never()),
                  absl::OkStatus());
      }
      return;
    }
    const absl::Status outcome = ReduceRaw(context, data);
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
    EXPECT_THAT(std::string(outcome.message()),
                AllOf(HasSubstr("scatter-reduce-allgather 9: "), HasSubstr("the peer is gone")));
  });
}

TEST_P(CollectiveFailure, NeighboursOfALostRankFailTheirRing) {
  RunRanks(CreateMesh(GetParam(), 3), [](Transport& transport, int rank) {
    if (rank == 1) return;
    std::vector<float> data(30000, 1.0f);
    const absl::Status outcome = RingAllReduce({transport, 3, 4, Never()}, absl::MakeSpan(data));
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
    EXPECT_THAT(std::string(outcome.message()), HasSubstr("ring all-reduce 4: "));
  });
}

TEST_P(CollectiveFailure, DeadlineEndsEveryCollective) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    std::vector<float> data(64), gathered(128);
    // Connected: a send over a connection that is still being made may miss its deadline as well.
    ASSERT_EQ(Barrier({transport, 2, 1, Never()}), absl::OkStatus());
    if (rank == 0) {
      // Takes part in none, and stays until rank 1 has seen all deadlines.
      std::vector<std::byte> byte(1);
      EXPECT_EQ(transport.Wait(transport.Receive(Rank(1), 1, absl::MakeSpan(byte)), Never()),
                absl::OkStatus());
      return;
    }
    uint32_t operation = 10;
    const auto soon = [&]() -> CollectiveContext {
      return {transport, 2, operation++, absl::Now() + absl::Milliseconds(3)};
    };
    const absl::Status outcomes[] = {
        ReduceRaw(soon(), data),
        RingAllReduce(soon(), absl::MakeSpan(data)),
        Broadcast(soon(), Rank(0), AsBytes(absl::MakeSpan(data))),
        AllGather(soon(), AsBytes(absl::MakeSpan(data)), AsBytes(absl::MakeSpan(gathered))),
        Barrier(soon()),
    };
    for (const absl::Status& outcome : outcomes) {
      EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded) << outcome;
      EXPECT_THAT(std::string(outcome.message()), HasSubstr("from rank 0"));
    }
    const std::vector<std::byte> byte(1);
    EXPECT_EQ(transport.Wait(transport.Send(Rank(0), 1, byte), Never()), absl::OkStatus());
  });
}

TEST_P(CollectiveFailure, AbortOnEveryRankEndsARing) {
  auto mesh = CreateMesh(GetParam(), 3);
  RunRanks(std::move(mesh), [](Transport& transport, int rank) {
    if (rank == 2) {
      transport.Abort("generation 3 is closed");
      std::vector<std::byte> byte(1);
      EXPECT_EQ(transport.Wait(transport.Receive(Rank(0), 1, absl::MakeSpan(byte)), Never()).code(),
                absl::StatusCode::kCancelled);
    }
    std::thread control;
    if (rank != 2) control = std::thread([&] { transport.Abort("generation 3 is closed"); });
    std::vector<float> data(30000, 1.0f);
    const absl::Status outcome = RingAllReduce({transport, 3, 4, Never()}, absl::MakeSpan(data));
    if (control.joinable()) control.join();
    // A neighbour may have gone before this rank heard of the abort.
    EXPECT_THAT(outcome.code(),
                testing::AnyOf(absl::StatusCode::kCancelled, absl::StatusCode::kUnavailable))
        << outcome;
  });
}

TEST(ScatterReduce, OtherLengthsAreDataLoss) {
  std::vector<absl::StatusCode> codes(2);
  RunRanks(CreateMesh(MeshKind::kInproc, 2), [&](Transport& transport, int rank) {
    std::vector<float> data(rank == 0 ? 100 : 104);
    codes[static_cast<size_t>(rank)] = ReduceRaw({transport, 2, 1, Never()}, data).code();
  });
  // The second to look may find that the first has gone already.
  EXPECT_THAT(codes, Contains(absl::StatusCode::kDataLoss));
  EXPECT_THAT(codes,
              Each(AnyOf(absl::StatusCode::kDataLoss, absl::StatusCode::kUnavailable)));
}

TEST(ScatterReduce, AnySendThatFailsEndsItAndLeavesNoRequestBehind) {
  for (int nth = 1; nth <= 4; ++nth) {
    auto mesh = CreateInprocTransports(3);
    auto faulty = std::make_unique<FaultyTransport>(std::move(mesh[0]));
    faulty->FailNthSend(nth, absl::UnavailableError("scripted"));
    mesh[0] = std::move(faulty);
    RunRanks(std::move(mesh), [&](Transport& transport, int rank) {
      {
        std::vector<float> data(64);  // freed before the transport: no request may hold it
        const absl::Status outcome = ReduceRaw({transport, 3, 1, Never()}, data);
        if (rank == 0) {
          EXPECT_EQ(outcome, absl::UnavailableError("scatter-reduce-allgather 1: scripted"));
        } else if (!outcome.ok()) {
          EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
        }
      }
    });
  }
}

TEST(ScatterReduce, AnyReceiveThatFailsEndsIt) {
  for (int nth = 1; nth <= 4; ++nth) {
    auto mesh = CreateInprocTransports(3);
    auto faulty = std::make_unique<FaultyTransport>(std::move(mesh[1]));
    faulty->FailNthReceive(nth, absl::DataLossError("scripted"));
    mesh[1] = std::move(faulty);
    RunRanks(std::move(mesh), [&](Transport& transport, int rank) {
      std::vector<float> data(64);
      const absl::Status outcome = ReduceRaw({transport, 3, 1, Never()}, data);
      if (rank == 1) {
        EXPECT_EQ(outcome, absl::DataLossError("scatter-reduce-allgather 1: scripted"));
      }
    });
  }
}

TEST(ScatterReduce, RefusedEncodingNamesItsSender) {
  class Picky : public SpanCodec {
   public:
    using SpanCodec::SpanCodec;
    absl::Status AddReceived(Rank, int, absl::Span<const std::byte> bytes) override {
      for (std::byte byte : bytes) {
        if (byte != std::byte{0}) return absl::DataLossError("not zero");
      }
      return absl::OkStatus();
    }
  };
  auto mesh = CreateInprocTransports(2);
  auto faulty = std::make_unique<FaultyTransport>(std::move(mesh[1]));
  faulty->CorruptNthSend(1, 5).CorruptNthSend(2, 5);  // in either order: the encoding, the sum
  mesh[1] = std::move(faulty);
  RunRanks(std::move(mesh), [](Transport& transport, int rank) {
    const CollectiveContext context{transport, 2, 1, Never()};
    std::vector<float> data(64);
    Picky codec(SpanCodec::Kind::kRaw, context, absl::MakeSpan(data));
    ScatterReduce operation;
    const absl::Status outcome = ScatterReduceAllGather(context, codec, operation);
    if (rank == 0) {
      EXPECT_EQ(outcome,
                absl::DataLossError("scatter-reduce-allgather 1: encoding from rank 1: not zero"));
    } else {
      EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
    }
  });
}

TEST(Collectives, WorldOfOneNeedsNoPeer) {
  auto mesh = CreateInprocTransports(2);  // a profiler, say, is peer 1
  const CollectiveContext context{*mesh[0], 1, 1, absl::InfinitePast()};
  std::vector<float> data = {1, 2, 3}, out(3);
  EXPECT_EQ(ReduceRaw(context, data), absl::OkStatus());
  EXPECT_EQ(RingAllReduce(context, absl::MakeSpan(data)), absl::OkStatus());
  EXPECT_EQ(Broadcast(context, Rank(0), AsBytes(absl::MakeSpan(data))), absl::OkStatus());
  EXPECT_EQ(AllGather(context, AsBytes(absl::MakeSpan(data)), AsBytes(absl::MakeSpan(out))),
            absl::OkStatus());
  EXPECT_EQ(Barrier(context), absl::OkStatus());
  EXPECT_EQ(data, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(out, data);
  EXPECT_EQ(mesh[0]->counters().sent_messages, 0);
}

TEST(Collectives, CostIsWhatTheirHeadersSay) {
  RunRanks(CreateMesh(MeshKind::kInproc, 4), [](Transport& transport, int rank) {
    std::vector<float> data(400), gathered(1600);
    int64_t bytes = 0, messages = 0;
    const auto spent = [&](const absl::Status& outcome) {
      EXPECT_EQ(outcome, absl::OkStatus());
      const TransportCounters now = transport.counters();
      const auto cost = std::make_pair(now.sent_bytes - bytes, now.sent_messages - messages);
      bytes = now.sent_bytes;
      messages = now.sent_messages;
      return cost;
    };
    using Cost = std::pair<int64_t, int64_t>;
    EXPECT_EQ(spent(ReduceRaw({transport, 4, 1, Never()}, data)), Cost(2400, 6));
    EXPECT_EQ(spent(AllGather({transport, 4, 3, Never()}, AsBytes(absl::MakeSpan(data)),
                              AsBytes(absl::MakeSpan(gathered)))),
              Cost(4800, 3));
    EXPECT_EQ(spent(Barrier({transport, 4, 4, Never()})), Cost(0, 2));
    const int64_t children[] = {2, 1, 0, 0};
    EXPECT_EQ(spent(Broadcast({transport, 4, 5, Never()}, Rank(0), AsBytes(absl::MakeSpan(data)))),
              Cost(1600 * children[rank], children[rank]));
  });
}

}  // namespace
}  // namespace sluice
