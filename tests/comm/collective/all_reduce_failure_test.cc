// What the survivors of a failed all-reduce see, by every algorithm.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "comm/collective/all_reduce.h"
#include "comm/transport/faulty_transport.h"
#include "comm/transport/inproc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/collective/all_reduce_cases.h"
#include "tests/comm/transport/transport_mesh.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr int kRanks = 4;

// Sums so that a call has several messages under way, in memory freed before the transport ends:
// nothing may hold it any more.
absl::Status Sum(const CollectiveContext& context, const AllReduceCase& all_reduce) {
  AllReduceOptions options = all_reduce.options();
  options.chunk_bytes = 2048;
  AllReduceBuffers buffers;
  std::vector<float> data(10000, 1.0f);
  return AllReduce(context, options, absl::MakeSpan(data), buffers);
}

class AllReduceFailure : public testing::TestWithParam<MeshKind> {
 protected:
  static void ForEveryCase(
      const std::function<void(const AllReduceCase&, Transport&, int rank)>& body) {
    for (const AllReduceCase& all_reduce : AllReduceCases(kRanks)) {
      SCOPED_TRACE(all_reduce.name);
      RunRanks(CreateMesh(GetParam(), kRanks),
               [&](Transport& transport, int rank) { body(all_reduce, transport, rank); });
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, AllReduceFailure,
                         testing::Values(MeshKind::kInproc, MeshKind::kUcxShm),
                         [](const auto& info) { return ToString(info.param); });

TEST_P(AllReduceFailure, ALostRankEndsTheCallOnAllOthers) {
  for (int lost = 0; lost < kRanks; ++lost) {
    ForEveryCase([&](const AllReduceCase& all_reduce, Transport& transport, int rank) {
      if (rank == lost) return;
      const absl::Status outcome = Sum({transport, kRanks, 4, Never()}, all_reduce);
      EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable)
          << all_reduce << ", rank " << rank << ": " << outcome;
      EXPECT_THAT(std::string(outcome.message()), HasSubstr(" all-reduce 4: "));
    });
  }
}

TEST_P(AllReduceFailure, ADeadlineEndsEveryAlgorithm) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    std::vector<float> data(64);
    AllReduceBuffers buffers;
    // Connected: a send over a connection that is still being made may miss its deadline as well.
    ASSERT_EQ(AllReduce({transport, 2, 1, Never()}, {}, absl::MakeSpan(data), buffers),
              absl::OkStatus());
    std::vector<std::byte> byte(1);
    if (rank == 0) {
      // Takes part in none, and stays until rank 1 has seen all deadlines.
      EXPECT_EQ(transport.Wait(transport.Receive(Rank(1), 1, absl::MakeSpan(byte)), Never()),
                absl::OkStatus());
      return;
    }
    uint32_t operation = 10;
    for (const AllReduceCase& all_reduce : AllReduceCases(2)) {
      const absl::Time soon = absl::Now() + absl::Milliseconds(3);
      const absl::Status outcome = AllReduce({transport, 2, operation++, soon},
                                             all_reduce.options(), absl::MakeSpan(data), buffers);
      EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded) << all_reduce << outcome;
      EXPECT_THAT(std::string(outcome.message()), HasSubstr("from rank 0"));
    }
    EXPECT_EQ(transport.Wait(transport.Send(Rank(0), 1, byte), Never()), absl::OkStatus());
  });
}

TEST_P(AllReduceFailure, AnAbortEndsEveryAlgorithm) {
  ForEveryCase([&](const AllReduceCase& all_reduce, Transport& transport, int rank) {
    if (rank == 0) {
      transport.Abort("generation 3 is closed");
      EXPECT_EQ(Sum({transport, kRanks, 4, Never()}, all_reduce).code(),
                absl::StatusCode::kCancelled);
      return;
    }
    std::thread control([&] { transport.Abort("generation 3 is closed"); });
    const absl::Status outcome = Sum({transport, kRanks, 4, Never()}, all_reduce);
    control.join();
    // Another may have gone before this rank heard of the abort.
    EXPECT_THAT(outcome.code(),
                testing::AnyOf(absl::StatusCode::kCancelled, absl::StatusCode::kUnavailable))
        << all_reduce << ", rank " << rank << ": " << outcome;
  });
}

TEST(AllReduceFaults, AnySendOrReceiveThatFailsEndsTheCall) {
  for (const AllReduceCase& all_reduce : AllReduceCases(kRanks)) {
    SCOPED_TRACE(all_reduce.name);
    for (const bool send : {true, false}) {
      for (int nth = 1; nth <= 7; nth += 2) {
        auto mesh = CreateInprocTransports(kRanks);
        auto faulty = std::make_unique<FaultyTransport>(std::move(mesh[0]));
        if (send) {
          faulty->FailNthSend(nth, absl::UnavailableError("scripted"));
        } else {
          faulty->FailNthReceive(nth, absl::DataLossError("scripted"));
        }
        mesh[0] = std::move(faulty);
        RunRanks(std::move(mesh), [&](Transport& transport, int rank) {
          const absl::Status outcome = Sum({transport, kRanks, 1, Never()}, all_reduce);
          if (rank == 0) {
            EXPECT_EQ(outcome.code(),
                      send ? absl::StatusCode::kUnavailable : absl::StatusCode::kDataLoss);
            EXPECT_THAT(std::string(outcome.message()), HasSubstr("all-reduce 1: scripted"));
          } else if (!outcome.ok()) {
            EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
          }
        });
      }
    }
  }
}

TEST(AllReduceFaults, OtherLengthsAreDataLossOnBothSides) {
  for (const AllReduceCase& all_reduce : AllReduceCases(2)) {
    RunRanks(CreateMesh(MeshKind::kInproc, 2), [&](Transport& transport, int rank) {
      std::vector<float> data(rank == 0 ? 100 : 104);
      AllReduceBuffers buffers;
      EXPECT_EQ(
          AllReduce({transport, 2, 1, Never()}, all_reduce.options(), absl::MakeSpan(data), buffers)
              .code(),
          absl::StatusCode::kDataLoss)
          << all_reduce;
    });
  }
}

}  // namespace
}  // namespace sluice
