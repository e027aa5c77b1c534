#include "comm/transport/tag_cipher.h"

#include <bitset>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace sluice {
namespace {

const std::string kKey(32, 'k');

TEST(TagCipherTest, WithoutAKeyTagsStay) {
  EXPECT_EQ(TagCipher("").Seal(0x0123456789abcdef), 0x0123456789abcdefu);
}

TEST(TagCipherTest, NoTwoTagsBecomeOne) {
  const TagCipher cipher(kKey);
  std::set<uint64_t> sealed;
  for (uint64_t rank = 0; rank < 64; ++rank) {
    for (uint64_t tag = 0; tag < 512; ++tag) sealed.insert(cipher.Seal(rank << 40 | tag));
  }
  EXPECT_EQ(sealed.size(), 64u * 512u);
}

TEST(TagCipherTest, EqualKeysAgreeAndOthersDoNot) {
  EXPECT_EQ(TagCipher(kKey).Seal(5), TagCipher(kKey).Seal(5));
  EXPECT_NE(TagCipher(kKey).Seal(5), TagCipher(std::string(32, 'l')).Seal(5));
}

// What is known of one tag tells nothing of its neighbour: half of the bits differ.
TEST(TagCipherTest, NeighboursDifferInHalfOfTheBits) {
  const TagCipher cipher(kKey);
  double differing = 0;
  for (uint64_t tag = 0; tag < 1000; ++tag) {
    differing += std::bitset<64>(cipher.Seal(tag) ^ cipher.Seal(tag + 1)).count();
  }
  EXPECT_NEAR(differing / 1000, 32, 1);
}

}  // namespace
}  // namespace sluice
