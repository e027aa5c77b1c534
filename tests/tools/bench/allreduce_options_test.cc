#include "tools/bench/allreduce_options.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Network = AllReduceBenchOptions::Network;

AllReduceBenchOptions Parse(const std::vector<std::string>& args) {
  const auto options = ParseAllReduceBenchOptions(args);
  EXPECT_TRUE(options.ok()) << options.status();
  return options.value_or(AllReduceBenchOptions());
}

std::string ErrorOf(const std::vector<std::string>& args) {
  const auto options = ParseAllReduceBenchOptions(args);
  EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(options.status().message());
}

TEST(AllReduceBenchOptions, ShortLongAndJoinedSpellingsAreTheSame) {
  for (const auto& args : {std::vector<std::string>{"-b", "8K", "-n", "3"},
                           {"--min-bytes", "8K", "--iterations", "3"},
                           {"--min-bytes=8K", "--iterations=3"}}) {
    const AllReduceBenchOptions options = Parse(args);
    EXPECT_EQ(options.min_bytes, 8192);
    EXPECT_EQ(options.iterations, 3);
  }
}

TEST(AllReduceBenchOptions, TransportHoldsTheRate) {
  EXPECT_EQ(Parse({"--transport", "tcp"}).network, Network::kTcp);
  const AllReduceBenchOptions options = Parse({"--transport", "netlab:1gbit"});
  EXPECT_EQ(options.network, Network::kNetlab);
  EXPECT_EQ(options.rate, "1gbit");
  EXPECT_EQ(options.Transport(), "netlab:1gbit");
}

TEST(AllReduceBenchOptions, MistakesAreNamed) {
  EXPECT_THAT(ErrorOf({"--rank-count", "2"}), HasSubstr("unknown option \"--rank-count\""));
  EXPECT_THAT(ErrorOf({"ranks", "2"}), HasSubstr("unknown option \"ranks\""));
  EXPECT_THAT(ErrorOf({"--ranks"}), HasSubstr("--ranks needs a value"));
  EXPECT_THAT(ErrorOf({"--ranks", "0"}), HasSubstr("--ranks: \"0\" is not a number in [1, 128]"));
  EXPECT_THAT(ErrorOf({"-c", "yes"}), HasSubstr("-c: \"yes\" is not 0 or 1"));
  EXPECT_THAT(ErrorOf({"-e", "12Q"}), HasSubstr("\"12Q\" is not a number of bytes"));
  EXPECT_THAT(ErrorOf({"-f", "1"}), HasSubstr("at least 2"));
  EXPECT_THAT(ErrorOf({"--transport", "netlab:"}), HasSubstr("netlab:RATE"));
  EXPECT_THAT(ErrorOf({"-b", "2K", "-e", "1K"}), HasSubstr("less than --min-bytes"));
  EXPECT_THAT(ErrorOf({"--netlab-prefix", "a"}), HasSubstr("--transport netlab:RATE only"));
}

TEST(AllReduceBenchOptions, SizesGrowByFactorOrStepUpToTheGreatest) {
  EXPECT_THAT(Parse({"-b", "1K", "-e", "20K", "-f", "4"}).Sizes(), ElementsAre(1024, 4096, 16384));
  EXPECT_THAT(Parse({"-b", "8", "-e", "20", "-i", "4"}).Sizes(), ElementsAre(8, 12, 16, 20));
  EXPECT_THAT(Parse({"-b", "4", "-e", "4"}).Sizes(), ElementsAre(4));
}

TEST(AllReduceBenchOptions, SizesAreWholeFloatsAndNotRepeated) {
  EXPECT_THAT(Parse({"-b", "5", "-e", "21", "-f", "2"}).Sizes(), ElementsAre(4, 8, 20));
  EXPECT_THAT(Parse({"-b", "6", "-e", "16", "-f", "2"}).Sizes(), ElementsAre(4, 12));
}

TEST(AllReduceBenchOptions, SizesEndAtTheGreatestNumberThereIs) {
  EXPECT_THAT(Parse({"-b", "2147483648G", "-e", "4294967295G", "-f", "4"}).Sizes(),
              ElementsAre(int64_t{2147483648} << 30));
}

TEST(ParseBytes, SuffixesArePowersOf1024) {
  EXPECT_EQ(ParseBytes("4096").value(), 4096);
  EXPECT_EQ(ParseBytes("4k").value(), 4096);
  EXPECT_EQ(ParseBytes("16M").value(), 16 << 20);
  EXPECT_EQ(ParseBytes("1G").value(), 1 << 30);
  for (const char* bad : {"", "K", "-1", "1KB", "9999999999G"}) {
    EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace sluice
