#include "comm/transport/faulty_transport.h"

#include <memory>
#include <utility>
#include <vector>

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

}  // namespace
}  // namespace sluice
