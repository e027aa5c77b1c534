#include "orchestrator/launcher/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(Network, ThisHostByEveryName) {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  for (const std::string host : {"localhost", "127.0.0.1", "127.0.0.2", "::1", (const char*)name}) {
    EXPECT_TRUE(IsThisHost(host)) << host;
  }
  EXPECT_FALSE(IsThisHost("203.0.113.7"));
  EXPECT_FALSE(IsThisHost("no-such-host.invalid"));
}

TEST(Network, AnInterfaceHasAnAddress) {
  EXPECT_EQ(AddressOf("lo").value(), "127.0.0.1");
  EXPECT_THAT(std::string(AddressOf("nosuch0").status().message()), HasSubstr("lo 127.0.0.1"));
}

TEST(Network, TheWayToLoopbackIsLoopback) {
  EXPECT_EQ(AddressTowards("127.0.0.1"), "127.0.0.1");
  EXPECT_THAT(Resolve("localhost"), Contains("127.0.0.1"));
  EXPECT_TRUE(Resolve("no-such-host.invalid").empty());
}

TEST(OwnerOfPort, NamesWhoListensAndNobodyOtherwise) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int port = ntohs(address.sin_port);
  EXPECT_EQ(OwnerOfPort(port), "");
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_THAT(OwnerOfPort(port), testing::HasSubstr("(network_test"));
  close(fd);
}

}  // namespace
}  // namespace sluice
