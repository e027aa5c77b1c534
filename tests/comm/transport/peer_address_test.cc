#include "comm/transport/peer_address.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PeerAddress, ComesBackWithAnyBytesOfUcx) {
  const std::string worker("\n,\0\xff\n", 5);
  const PeerAddress back = ParsePeerAddress(FormatPeerAddress({{"10.1.2.3", "fd00::1"}, worker}));
  EXPECT_THAT(back.sources, ElementsAre("10.1.2.3", "fd00::1"));
  EXPECT_EQ(back.worker, worker);
}

TEST(PeerAddress, MayHaveNoSources) {
  const PeerAddress back = ParsePeerAddress(FormatPeerAddress({{}, "ucx"}));
  EXPECT_THAT(back.sources, IsEmpty());
  EXPECT_EQ(back.worker, "ucx");
}

TEST(PeerAddress, WithoutANewlineAllIsUcxs) {
  EXPECT_EQ(ParsePeerAddress("ucx").worker, "ucx");
  EXPECT_EQ(ParsePeerAddress("").worker, "");
}

}  // namespace
}  // namespace sluice
