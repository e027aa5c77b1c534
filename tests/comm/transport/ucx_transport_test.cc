#include "comm/transport/ucx_transport.h"

#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "comm/transport/ucx_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(UcxTransport, VersionIsThatOfTheLibrary) {
  EXPECT_THAT(UcxVersion(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+.*"));
}

TEST(UcxTransport, UnknownTransportsAreRefusedByName) {
  const auto seed = UcxEndpointSeed::Create({"carrier_pigeon"});
  EXPECT_EQ(seed.status().code(), absl::StatusCode::kUnavailable) << seed.status();
  EXPECT_THAT(std::string(seed.status().message()), HasSubstr("carrier_pigeon"));
}

TEST(UcxTransport, RankOutsideTheAddressesIsRefused) {
  auto seed = UcxEndpointSeed::Create({});
  ASSERT_TRUE(seed.ok()) << seed.status();
  const std::string address = (*seed)->address();
  const auto transport = std::move(**seed).Connect(Rank(1), {address});
  EXPECT_EQ(transport.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(UcxTransport, EmptyAddressIsRefusedNamingItsRank) {
  auto seed = UcxEndpointSeed::Create({});
  ASSERT_TRUE(seed.ok()) << seed.status();
  const std::string address = (*seed)->address();
  const auto transport = std::move(**seed).Connect(Rank(0), {address, ""});
  EXPECT_EQ(transport.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(transport.status().message()), HasSubstr("rank 1"));
}

TEST(UcxTransport, PeerWithoutACommonTransportIsUnreachableByRank) {
  auto mine = UcxEndpointSeed::Create({"tcp"});
  auto other = UcxEndpointSeed::Create({"posix"});
  ASSERT_TRUE(mine.ok() && other.ok());
  const std::string address = (*mine)->address();
  const auto transport = std::move(**mine).Connect(Rank(0), {address, (*other)->address()});
  EXPECT_EQ(transport.status().code(), absl::StatusCode::kUnavailable) << transport.status();
  EXPECT_THAT(std::string(transport.status().message()), HasSubstr("rank 1 cannot be reached"));
}

// Another job's or generation's messages, or a stranger's.
TEST(UcxTransport, MessagesUnderAnotherKeyMeetNoReceive) {
  auto mine = UcxEndpointSeed::Create({"posix,cma,self"});
  auto other = UcxEndpointSeed::Create({"posix,cma,self"});
  ASSERT_TRUE(mine.ok() && other.ok());
  const std::vector<std::string> addresses = {(*mine)->address(), (*other)->address()};
  auto here = std::move(**mine).Connect(Rank(0), addresses, std::string(32, 'a'));
  auto there = std::move(**other).Connect(Rank(1), addresses, std::string(32, 'b'));
  ASSERT_TRUE(here.ok() && there.ok());
  std::byte sent{7}, received{0};
  const RequestId send = (*there)->Send(Rank(0), 1, absl::MakeConstSpan(&sent, 1));
  const RequestId receive = (*here)->Receive(Rank(1), 1, absl::MakeSpan(&received, 1));
  const absl::Time deadline = absl::Now() + absl::Milliseconds(300);
  while (absl::Now() < deadline) {
    ASSERT_FALSE((*there)->Test(send).has_value());
    ASSERT_FALSE((*here)->Test(receive).has_value());
  }
  EXPECT_EQ((*here)->Wait(receive, absl::Now()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(received, std::byte{0});
}

TEST(UcxTransport, SignalsStayWithTheProcess) {
  ASSERT_TRUE(UcxEndpointSeed::Create({}).ok());
  // SIGSEGV may be a sanitizer's; no sanitizer takes SIGILL without being asked to.
  struct sigaction action {};
  ASSERT_EQ(sigaction(SIGILL, nullptr, &action), 0);
  EXPECT_EQ(action.sa_handler, SIG_DFL);
}

TEST(UcxTransport, UsersKeepAliveIntervalStays) {
  ASSERT_EQ(setenv("UCX_KEEPALIVE_INTERVAL", "250ms", 1), 0);
  ASSERT_TRUE(UcxEndpointSeed::Create({}).ok());
  EXPECT_STREQ(std::getenv("UCX_KEEPALIVE_INTERVAL"), "250ms");
  ASSERT_EQ(unsetenv("UCX_KEEPALIVE_INTERVAL"), 0);
}

TEST(UcxTransport, UsersTransportsWin) {
  ASSERT_EQ(setenv("UCX_TLS", "carrier_pigeon", 1), 0);
  const auto seed = UcxEndpointSeed::Create({"tcp"});
  ASSERT_EQ(unsetenv("UCX_TLS"), 0);
  EXPECT_THAT(std::string(seed.status().message()), HasSubstr("carrier_pigeon"));
}

TEST(UcxStatus, CodesSayWhatTheCallerCanDo) {
  EXPECT_EQ(FromUcs(UCS_OK, "x"), absl::OkStatus());
  EXPECT_EQ(FromUcs(UCS_ERR_CONNECTION_RESET, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(FromUcs(UCS_ERR_ENDPOINT_TIMEOUT, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(FromUcs(UCS_ERR_MESSAGE_TRUNCATED, "x").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(FromUcs(UCS_ERR_CANCELED, "x").code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(FromUcs(UCS_ERR_NO_MEMORY, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(FromUcs(UCS_ERR_NO_ELEM, "x").code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(FromUcs(UCS_ERR_NO_ELEM, "opening").message()), HasSubstr("opening: "));
}

}  // namespace
}  // namespace sluice
