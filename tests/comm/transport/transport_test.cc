#include "comm/transport/transport.h"

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/transport/transport_mesh.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr MessageTag kTag = 0x123456789a;
constexpr size_t kSizes[] = {0, 1, 7, 4097, 100003, 5000001};  // eager and rendezvous

std::vector<std::byte> Pattern(size_t bytes, int seed) {
  std::vector<std::byte> pattern(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    pattern[i] = static_cast<std::byte>((i * 31 + i / 251 + static_cast<size_t>(seed)) & 0xff);
  }
  return pattern;
}

absl::Status SendAndWait(Transport& transport, int to, MessageTag tag,
                         const std::vector<std::byte>& bytes) {
  return transport.Wait(transport.Send(Rank(to), tag, bytes), Never());
}

absl::Status ReceiveAndWait(Transport& transport, int from, MessageTag tag,
                            std::vector<std::byte>& bytes) {
  return transport.Wait(transport.Receive(Rank(from), tag, absl::MakeSpan(bytes)), Never());
}

// Both have heard from each other.
void Meet(Transport& transport, int other) {
  std::vector<std::byte> byte(1);
  const RequestId send = transport.Send(Rank(other), 1, byte);
  ASSERT_EQ(ReceiveAndWait(transport, other, 1, byte), absl::OkStatus());
  ASSERT_EQ(transport.Wait(send, Never()), absl::OkStatus());
}

class TransportTest : public testing::TestWithParam<MeshKind> {};

INSTANTIATE_TEST_SUITE_P(All, TransportTest,
                         testing::Values(MeshKind::kInproc, MeshKind::kUcxTcp, MeshKind::kUcxShm),
                         [](const auto& info) { return ToString(info.param); });

TEST_P(TransportTest, EveryPeerKnowsItselfAndTheOthers) {
  RunRanks(CreateMesh(GetParam(), 3), [](Transport& transport, int rank) {
    EXPECT_EQ(transport.self(), Rank(rank));
    EXPECT_EQ(transport.peers(), 3);
  });
}

TEST_P(TransportTest, MessagesOfEverySizeArriveUnchanged) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    for (size_t bytes : kSizes) {
      const std::vector<std::byte> mine = Pattern(bytes, rank);
      std::vector<std::byte> theirs(bytes);
      const RequestId receive = transport.Receive(Rank(1 - rank), kTag, absl::MakeSpan(theirs));
      const RequestId send = transport.Send(Rank(1 - rank), kTag, mine);
      EXPECT_EQ(WaitAll(transport, {receive, send}, Never()), absl::OkStatus());
      EXPECT_EQ(theirs, Pattern(bytes, 1 - rank)) << bytes << " bytes";
    }
  });
}

TEST_P(TransportTest, MessagesOfOneTagArriveInTheOrderSent) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    for (int i = 0; i < 200; ++i) {
      std::vector<std::byte> message = Pattern(8, i);
      if (rank == 0) {
        ASSERT_EQ(SendAndWait(transport, 1, kTag, message), absl::OkStatus());
      } else {
        std::vector<std::byte> received(8);
        ASSERT_EQ(ReceiveAndWait(transport, 0, kTag, received), absl::OkStatus());
        ASSERT_EQ(received, message) << "message " << i;
      }
    }
  });
}

TEST_P(TransportTest, TagsAndSendersKeepMessagesApart) {
  RunRanks(CreateMesh(GetParam(), 3), [](Transport& transport, int rank) {
    if (rank > 0) {
      for (MessageTag tag : {kTag, kTag + 1, (MessageTag{1} << kMessageTagBits) - 1}) {
        const auto message = Pattern(16, rank * 10 + static_cast<int>(tag & 7));
        ASSERT_EQ(SendAndWait(transport, 0, tag, message), absl::OkStatus());
      }
      return;
    }
    // Against the order of sending.
    for (MessageTag tag : {(MessageTag{1} << kMessageTagBits) - 1, kTag + 1, kTag}) {
      for (int from : {2, 1}) {
        std::vector<std::byte> received(16);
        ASSERT_EQ(ReceiveAndWait(transport, from, tag, received), absl::OkStatus());
        EXPECT_EQ(received, Pattern(16, from * 10 + static_cast<int>(tag & 7)));
      }
    }
  });
}

TEST_P(TransportTest, AnotherLengthIsDataLossNamingBoth) {
  for (bool receive_first : {true, false}) {
    for (auto [sent, expected] : std::vector<std::pair<size_t, size_t>>{
             {40, 64}, {64, 40}, {0, 1}, {1, 0}, {3000000, 2999999}, {2999999, 3000000}}) {
      RunRanks(CreateMesh(GetParam(), 2), [&](Transport& transport, int rank) {
        std::vector<std::byte> bytes(rank == 0 ? sent : expected);
        if (rank == 0) {
          Meet(transport, 1);
          // How the sender of a wrong length ends is not promised; that it ends is.
          (void)SendAndWait(transport, 1, kTag, bytes);
          return;
        }
        RequestId receive = kNoRequest;
        if (receive_first) receive = transport.Receive(Rank(0), kTag, absl::MakeSpan(bytes));
        Meet(transport, 0);
        if (!receive_first) receive = transport.Receive(Rank(0), kTag, absl::MakeSpan(bytes));
        const absl::Status outcome = transport.Wait(receive, Never());
        EXPECT_EQ(outcome.code(), absl::StatusCode::kDataLoss) << outcome;
        EXPECT_THAT(std::string(outcome.message()),
                    HasSubstr("receive of " + std::to_string(expected) + " bytes from rank 0"));
        EXPECT_THAT(std::string(outcome.message()), HasSubstr(std::to_string(sent) + " bytes;"));
      });
    }
  }
}

TEST_P(TransportTest, DeadlineEndsAReceiveAndFreesItsBuffer) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    Meet(transport, 1 - rank);
    if (rank == 1) {
      std::vector<std::byte> bytes(64);
      const RequestId receive = transport.Receive(Rank(0), kTag, absl::MakeSpan(bytes));
      const absl::Status outcome = transport.Wait(receive, absl::Now() + absl::Milliseconds(5));
      EXPECT_EQ(outcome.code(), absl::StatusCode::kDeadlineExceeded);
      EXPECT_THAT(std::string(outcome.message()), HasSubstr("receive of 64 bytes from rank 0"));
      Meet(transport, 0);
      // The message goes to the next receive of its tag, not to the cancelled one.
      std::vector<std::byte> next(64);
      EXPECT_EQ(ReceiveAndWait(transport, 0, kTag, next), absl::OkStatus());
      EXPECT_EQ(next, Pattern(64, 5));
      EXPECT_EQ(bytes, std::vector<std::byte>(64));
    } else {
      Meet(transport, 1);
      EXPECT_EQ(SendAndWait(transport, 1, kTag, Pattern(64, 5)), absl::OkStatus());
    }
  });
}

TEST_P(TransportTest, PastDeadlineStillReturnsAnOutcomeThatIsThere) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    std::vector<std::byte> bytes = Pattern(64, 0);
    if (rank == 0) {
      EXPECT_EQ(SendAndWait(transport, 1, kTag, bytes), absl::OkStatus());
      Meet(transport, 1);
    } else {
      Meet(transport, 0);
      const RequestId receive = transport.Receive(Rank(0), kTag, absl::MakeSpan(bytes));
      EXPECT_EQ(transport.Wait(receive, absl::InfinitePast()), absl::OkStatus());
    }
  });
}

TEST_P(TransportTest, DestroyedPeerEndsPendingReceivesButNotArrivedMessages) {
  RunRanks(CreateMesh(GetParam(), 3), [](Transport& transport, int rank) {
    if (rank == 2) return;  // a bystander
    if (rank == 1) {
      Meet(transport, 0);
      for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(SendAndWait(transport, 0, kTag, Pattern(1000, i)), absl::OkStatus());
      }
      return;  // and leaves
    }
    std::vector<std::byte> never(10), received(1000);
    const RequestId pending = transport.Receive(Rank(1), kTag + 1, absl::MakeSpan(never));
    Meet(transport, 1);
    const absl::Status outcome = transport.Wait(pending, Never());
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable) << outcome;
    EXPECT_THAT(std::string(outcome.message()), HasSubstr("from rank 1, tag 0x123456789b"));
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(ReceiveAndWait(transport, 1, kTag, received), absl::OkStatus());
      EXPECT_EQ(received, Pattern(1000, i));
    }
    EXPECT_EQ(ReceiveAndWait(transport, 1, kTag, received).code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(SendAndWait(transport, 1, kTag, received).code(), absl::StatusCode::kUnavailable);
  });
}

TEST_P(TransportTest, AbortFromAnotherThreadEndsAWaitAndAllThatFollows) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    Meet(transport, 1 - rank);
    if (rank == 1) {
      // Stays until rank 0 has left.
      std::vector<std::byte> byte(1);
      EXPECT_EQ(ReceiveAndWait(transport, 0, kTag, byte).code(), absl::StatusCode::kUnavailable);
      return;
    }
    std::vector<std::byte> bytes(64), more(3000000);
    const RequestId first = transport.Receive(Rank(1), kTag, absl::MakeSpan(bytes));
    const RequestId second = transport.Receive(Rank(1), kTag + 1, absl::MakeSpan(more));
    std::thread control([&] {
      transport.Abort("rank 7 died");
      transport.Abort("too late to matter");
    });
    const absl::Status outcome = transport.Wait(first, Never());
    control.join();
    EXPECT_EQ(outcome.code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(std::string(outcome.message()), HasSubstr("rank 7 died"));
    EXPECT_EQ(transport.Wait(second, Never()).code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(ReceiveAndWait(transport, 1, kTag, bytes).code(), absl::StatusCode::kCancelled);
    const absl::Status send = SendAndWait(transport, 1, kTag, bytes);
    EXPECT_EQ(send.code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(std::string(send.message()), HasSubstr("rank 7 died"));
  });
}

TEST_P(TransportTest, TestTellsTheOutcomeOnceItIsThere) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    std::vector<std::byte> bytes(16);
    if (rank == 0) {
      Meet(transport, 1);
      EXPECT_EQ(SendAndWait(transport, 1, kTag, bytes), absl::OkStatus());
      return;
    }
    const RequestId receive = transport.Receive(Rank(0), kTag, absl::MakeSpan(bytes));
    EXPECT_EQ(transport.Test(receive), std::nullopt);
    Meet(transport, 0);
    std::optional<absl::Status> outcome;
    while (!outcome) {
      outcome = transport.Test(receive);
      std::this_thread::yield();
    }
    EXPECT_EQ(*outcome, absl::OkStatus());
  });
}

TEST_P(TransportTest, WakeEndsOneWaitAny) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    if (rank == 1) {
      Meet(transport, 0);  // stays until then
      return;
    }
    std::vector<std::byte> byte(1);
    const RequestId never = transport.Receive(Rank(1), 77, absl::MakeSpan(byte));
    std::thread waker([&] { transport.Wake(); });
    EXPECT_EQ(transport.WaitAny({never}, Never()), std::nullopt);
    waker.join();
    EXPECT_EQ(transport.WaitAny({never}, absl::Now() + absl::Milliseconds(2)), std::nullopt);
    transport.Wake();
    transport.Wake();
    EXPECT_EQ(transport.WaitAny({never}, Never()), std::nullopt) << "the next one";
    Meet(transport, 1);
    EXPECT_FALSE(transport.Wait(never, absl::Now()).ok());
  });
}

TEST_P(TransportTest, WaitAnyNamesTheOneThatIsOver) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    std::vector<std::byte> bytes(16), other(16);
    if (rank == 0) {
      EXPECT_EQ(SendAndWait(transport, 1, kTag + 1, bytes), absl::OkStatus());
      Meet(transport, 1);
      Meet(transport, 1);
      return;
    }
    const std::vector<RequestId> requests = {
        kNoRequest, transport.Receive(Rank(0), kTag, absl::MakeSpan(bytes)),
        transport.Receive(Rank(0), kTag + 1, absl::MakeSpan(other))};
    EXPECT_EQ(transport.WaitAny(requests, Never()), std::optional<size_t>(2));
    EXPECT_EQ(transport.WaitAny({kNoRequest}, Never()), std::nullopt);
    EXPECT_EQ(transport.WaitAny({requests[1]}, absl::Now() + absl::Milliseconds(2)), std::nullopt);
    EXPECT_EQ(transport.Wait(requests[2], Never()), absl::OkStatus());
    Meet(transport, 0);
    EXPECT_EQ(transport.Wait(requests[1], absl::Now()).code(), absl::StatusCode::kDeadlineExceeded);
    Meet(transport, 0);
  });
}

TEST_P(TransportTest, WaitAllReturnsTheFirstErrorAndCancelsTheRest) {
  RunRanks(CreateMesh(GetParam(), 3), [](Transport& transport, int rank) {
    if (rank == 1) return;
    std::vector<std::byte> bytes(16), other(16);
    if (rank == 2) {
      Meet(transport, 0);
      return;
    }
    const std::vector<RequestId> requests = {
        transport.Receive(Rank(1), kTag, absl::MakeSpan(bytes)), kNoRequest,
        transport.Receive(Rank(2), kTag, absl::MakeSpan(other))};
    const absl::Status outcome = WaitAll(transport, requests, Never());
    EXPECT_EQ(outcome.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(outcome.message()), HasSubstr("from rank 1"));
    Meet(transport, 2);
  });
}

TEST_P(TransportTest, CountersCountPayloadAlone) {
  RunRanks(CreateMesh(GetParam(), 2), [](Transport& transport, int rank) {
    int64_t total = 0;
    for (size_t bytes : kSizes) {
      std::vector<std::byte> message(bytes);
      total += static_cast<int64_t>(bytes);
      ASSERT_EQ(rank == 0 ? SendAndWait(transport, 1, kTag, message)
                          : ReceiveAndWait(transport, 0, kTag, message),
                absl::OkStatus());
    }
    const TransportCounters counters = transport.counters();
    EXPECT_EQ(counters.sent_bytes, rank == 0 ? total : 0);
    EXPECT_EQ(counters.received_bytes, rank == 0 ? 0 : total);
    EXPECT_EQ(counters.sent_messages, rank == 0 ? 6 : 0);
    EXPECT_EQ(counters.received_messages, rank == 0 ? 0 : 6);
  });
}

}  // namespace
}  // namespace sluice
