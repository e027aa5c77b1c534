#include "orchestrator/launcher/network.h"

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

}  // namespace
}  // namespace sluice
