#include "orchestrator/config/nearest_word.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsChangesAndSwaps) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("bits", ""), 4);
  EXPECT_EQ(EditDistance("", "bits"), 4);
  EXPECT_EQ(EditDistance("bits", "bit"), 1);
  EXPECT_EQ(EditDistance("bits", "bats"), 1);
  EXPECT_EQ(EditDistance("bits", "btis"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(NearestWord, FirstOfTheNearestWins) {
  EXPECT_EQ(NearestWord("cat", {"dog", "bat", "car"}), "bat");
}

TEST(NearestWord, NothingNearIsNoWord) { EXPECT_EQ(NearestWord("quantum", {"np", "H"}), ""); }

TEST(NearestWord, PartOfOneWordFindsIt) {
  EXPECT_EQ(NearestWord("bucket", {"policy", "uniform_bucket"}), "uniform_bucket");
}

TEST(NearestWord, PartOfSeveralWordsIsAmbiguous) {
  EXPECT_EQ(NearestWord("bucket", {"candidate_buckets", "uniform_bucket"}), "");
}

TEST(NearestWord, ShortWordsNeedAlmostTheSame) { EXPECT_EQ(NearestWord("lr", {"H", "np"}), ""); }

TEST(Quoted, EscapesAndShortens) {
  EXPECT_EQ(Quoted("a\nb\"c"), "\"a\\nb\\\"c\"");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "\"" + std::string(60, 'x') + "...\"");
}

}  // namespace
}  // namespace sluice
