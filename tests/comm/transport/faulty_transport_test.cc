#include "comm/transport/faulty_transport.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "comm/transport/inproc_transport.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr MessageTag kTag = 7;

class FaultyTransportTest : public testing::Test {
 protected:
  FaultyTransportTest() : mesh_(CreateInprocTransports(2)), faulty_(std::move(mesh_[0])) {}

  absl::Status Send(int value) {
    const std::vector<std::byte> bytes(4, static_cast<std::byte>(value));
    return faulty_.Wait(faulty_.Send(Rank(1), kTag, bytes), absl::InfiniteFuture());
  }

  std::vector<std::byte> Received() {
    std::vector<std::byte> bytes(4);
    EXPECT_EQ(mesh_[1]->Wait(mesh_[1]->Receive(Rank(0), kTag, absl::MakeSpan(bytes)),
                             absl::InfiniteFuture()),
              absl::OkStatus());
    return bytes;
  }

  std::vector<std::unique_ptr<Transport>> mesh_;
  FaultyTransport faulty_;
};

TEST_F(FaultyTransportTest, NthSendFailsAndSendsNothing) {
  faulty_.FailNthSend(2, absl::UnavailableError("gone"));
  EXPECT_EQ(Send(1), absl::OkStatus());
  EXPECT_EQ(Send(2), absl::UnavailableError("gone"));
  EXPECT_EQ(Send(3), absl::OkStatus());
  EXPECT_EQ(Received(), std::vector<std::byte>(4, std::byte{1}));
  EXPECT_EQ(Received(), std::vector<std::byte>(4, std::byte{3}));
}

TEST_F(FaultyTransportTest, NthReceiveFailsAndTheMessageStays) {
  faulty_.FailNthReceive(1, absl::DataLossError("torn"));
  const std::vector<std::byte> sent(4, std::byte{9});
  ASSERT_EQ(mesh_[1]->Wait(mesh_[1]->Send(Rank(0), kTag, sent), absl::InfiniteFuture()),
            absl::OkStatus());
  std::vector<std::byte> bytes(4);
  const RequestId failed = faulty_.Receive(Rank(1), kTag, absl::MakeSpan(bytes));
  EXPECT_EQ(faulty_.WaitAny({failed}, absl::InfinitePast()), std::optional<size_t>(0));
  EXPECT_EQ(faulty_.Test(failed), absl::DataLossError("torn"));
  EXPECT_EQ(bytes, std::vector<std::byte>(4));
  const RequestId next = faulty_.Receive(Rank(1), kTag, absl::MakeSpan(bytes));
  EXPECT_EQ(faulty_.WaitAny({kNoRequest, next}, absl::InfiniteFuture()), std::optional<size_t>(1));
  EXPECT_EQ(faulty_.Test(next), absl::OkStatus());
  EXPECT_EQ(bytes, sent);
}

TEST_F(FaultyTransportTest, NthSendIsCorruptedInOneByte) {
  faulty_.CorruptNthSend(1, 2);
  EXPECT_EQ(Send(0), absl::OkStatus());
  EXPECT_EQ(Received(), (std::vector<std::byte>{{}, {}, std::byte{0xff}, {}}));
}

TEST_F(FaultyTransportTest, AbortReachesTheInnerTransport) {
  faulty_.Abort("enough");
  EXPECT_EQ(Send(1).code(), absl::StatusCode::kCancelled);
}

// Every other message to rank 1 is lost, the third fails, and nothing is received from it.
class SomeFaults : public LinkFaults {
 public:
  MessageFault OnSend(Rank to, size_t bytes) override {
    MessageFault fault;
    ++sends;
    fault.lost = sends == 1;
    if (sends == 2) fault.corrupt_byte = bytes + 100;
    if (sends == 3) fault.failure = absl::UnavailableError("partition");
    return fault;
  }
  absl::Status OnReceive(Rank from) override {
    return from == Rank(1) ? absl::UnavailableError("partition") : absl::OkStatus();
  }
  int sends = 0;
};

TEST(FaultyTransport, AsksWhatHappensToEachMessage) {
  auto pair = CreateInprocTransports(2);
  SomeFaults faults;
  FaultyTransport transport(std::move(pair[0]), &faults);
  const std::vector<std::byte> bytes(4, std::byte{0});
  const absl::Time soon = absl::Now() + absl::Seconds(10);
  EXPECT_TRUE(transport.Wait(transport.Send(Rank(1), 5, bytes), soon).ok()) << "lost";
  const RequestId corrupt = transport.Send(Rank(1), 5, bytes);
  std::vector<std::byte> arrived(4);
  EXPECT_TRUE(pair[1]->Wait(pair[1]->Receive(Rank(0), 5, absl::MakeSpan(arrived)), soon).ok());
  EXPECT_EQ(arrived[3], std::byte{0xff});
  EXPECT_EQ(arrived[0], std::byte{0});
  EXPECT_TRUE(transport.Wait(corrupt, soon).ok());
  EXPECT_EQ(transport.Wait(transport.Send(Rank(1), 5, bytes), soon).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(transport.Wait(transport.Receive(Rank(1), 5, absl::MakeSpan(arrived)), soon).code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sluice
