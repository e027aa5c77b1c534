#include "comm/transport/ucx_transport.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "comm/transport/listener_guard.h"
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

// Connects from a host that isn't a peer's to a socket of this process, and speaks UCX's protocol, up to a length that ends
// a process with a failed assertion if it is read (UCX 1.13). \return the connection
int SendCrafted(const sockaddr_in& listener) {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in from{};
  from.sin_family = AF_INET;
  EXPECT_EQ(inet_pton(AF_INET, "127.0.0.9", &from.sin_addr), 1);
  EXPECT_EQ(bind(descriptor, reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&listener), sizeof listener) != 0) {
    close(descriptor);
    return -1;
  }
  const std::string crafted("\x78\x56\x34\x12\xbe\xba\xfe\xca\x1f\xff\xff\xff\xff", 13);
  EXPECT_EQ(send(descriptor, crafted.data(), crafted.size(), 0), 13);
  return descriptor;
}

sockaddr_in NameOf(int socket) {
  sockaddr_in name{};
  socklen_t length = sizeof name;
  EXPECT_EQ(getsockname(socket, reinterpret_cast<sockaddr*>(&name), &length), 0);
  return name;
}

void ExchangeOneByte(Transport& here, Transport& there) {
  std::byte sent{7}, received{0};
  const RequestId send = there.Send(Rank(0), 1, absl::MakeConstSpan(&sent, 1));
  const RequestId receive = here.Receive(Rank(1), 1, absl::MakeSpan(&received, 1));
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!here.Test(receive).has_value()) {
    (void)there.Test(send);
    ASSERT_LT(absl::Now(), deadline);
  }
  EXPECT_EQ(received, sent);
}

TEST(UcxTransport, StrangersWhoSpeakItsProtocolChangeNothing) {
  ASSERT_EQ(setenv("UCX_NET_DEVICES", "lo", 1), 0);
  auto mine = UcxEndpointSeed::Create({"tcp,self"});
  auto other = UcxEndpointSeed::Create({"tcp,self"});
  ASSERT_EQ(unsetenv("UCX_NET_DEVICES"), 0);
  ASSERT_TRUE(mine.ok() && other.ok());
  std::vector<sockaddr_in> listeners;
  for (const int descriptor : ListenerGuard::ListeningSockets()) {
    listeners.push_back(NameOf(descriptor));
  }
  ASSERT_EQ(listeners.size(), 2u);
  std::vector<int> strangers;
  for (const sockaddr_in& listener : listeners) strangers.push_back(SendCrafted(listener));
  const std::vector<std::string> addresses = {(*mine)->address(), (*other)->address()};
  auto here = std::move(**mine).Connect(Rank(0), addresses);
  auto there = std::move(**other).Connect(Rank(1), addresses);
  ASSERT_TRUE(here.ok() && there.ok());
  for (const sockaddr_in& listener : listeners) strangers.push_back(SendCrafted(listener));
  for (const int stranger : strangers) EXPECT_GE(stranger, 0);
  ExchangeOneByte(**here, **there);
  // All have met.
  EXPECT_TRUE(ListenerGuard::ListeningSockets().empty());
  for (const sockaddr_in& listener : listeners) EXPECT_LT(SendCrafted(listener), 0);
  ExchangeOneByte(**here, **there);
  for (const int stranger : strangers) close(stranger);
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(UcxTransport, TenThousandStrangersCostNoMemory) {
  constexpr int kStrangers = 10000, kAtOnce = 50;
  constexpr int64_t kMostGrowth = 16 << 20;
  ASSERT_EQ(setenv("UCX_NET_DEVICES", "lo", 1), 0);
  auto mine = UcxEndpointSeed::Create({"tcp,self"});
  ASSERT_TRUE(mine.ok());
  const std::vector<int> listening = ListenerGuard::ListeningSockets();
  ASSERT_EQ(listening.size(), 1u);
  const sockaddr_in listener = NameOf(listening[0]);
  auto other = UcxEndpointSeed::Create({"tcp,self"});  // does not connect, so that ours listens on
  ASSERT_EQ(unsetenv("UCX_NET_DEVICES"), 0);
  ASSERT_TRUE(other.ok());
  auto here = std::move(**mine).Connect(Rank(0), {(*mine)->address(), (*other)->address()});
  ASSERT_TRUE(here.ok());
  std::byte byte{0};
  const RequestId receive = (*here)->Receive(Rank(1), 1, absl::MakeSpan(&byte, 1));
  int64_t before = 0;
  for (int round = 0; round < kStrangers / kAtOnce; ++round) {
    std::vector<int> strangers;
    for (int i = 0; i < kAtOnce; ++i) strangers.push_back(SendCrafted(listener));
    ASSERT_EQ((*here)->Test(receive), std::nullopt);
    for (const int stranger : strangers) {
      ASSERT_GE(stranger, 0);
      close(stranger);
    }
    if (round == 10) before = ResidentBytes();
  }
  EXPECT_LT(ResidentBytes() - before, kMostGrowth);
}

TEST(UcxTransport, StrangersWhoTakeAllDescriptorsDoNotEndTheProcess) {
  ASSERT_EQ(setenv("UCX_NET_DEVICES", "lo", 1), 0);
  auto mine = UcxEndpointSeed::Create({"tcp,self"});
  ASSERT_TRUE(mine.ok());
  const sockaddr_in listener = NameOf(ListenerGuard::ListeningSockets().at(0));
  auto other = UcxEndpointSeed::Create({"tcp,self"});
  ASSERT_EQ(unsetenv("UCX_NET_DEVICES"), 0);
  ASSERT_TRUE(other.ok());
  auto here = std::move(**mine).Connect(Rank(0), {(*mine)->address(), (*other)->address()});
  ASSERT_TRUE(here.ok());
  std::vector<int> strangers;
  for (int i = 0; i < 50; ++i) strangers.push_back(SendCrafted(listener));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(strangers.back()) + 20;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::byte byte{0};
  const RequestId receive = (*here)->Receive(Rank(1), 1, absl::MakeSpan(&byte, 1));
  for (int look = 0; look < 20; ++look) (void)(*here)->Test(receive);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const int stranger : strangers) close(stranger);
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
