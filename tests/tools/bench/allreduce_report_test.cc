#include "tools/bench/allreduce_report.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(Summarise, TakesTheSlowestRankOfEachIteration) {
  const std::vector<AllReduceTimes> ranks = {{{10, 20, 60}, 1}, {{40, 10, 5}, 2}};
  const AllReduceSummary summary = Summarise(40000, ranks);  // slowest: 40, 20, 60
  EXPECT_EQ(summary.median_us, 40);
  EXPECT_EQ(summary.least_us, 20);
  EXPECT_EQ(summary.greatest_us, 60);
  EXPECT_EQ(summary.wrong, 3);
}

TEST(Summarise, BandwidthsAreThoseOfNcclTests) {
  // 4 ranks, 8 MB in 2 ms: 4 GB/s, of which a link carries 2 (4 - 1) / 4.
  const std::vector<AllReduceTimes> ranks(4, AllReduceTimes{{1000, 3000}, 0});
  const AllReduceSummary summary = Summarise(8000000, ranks);
  EXPECT_DOUBLE_EQ(summary.median_us, 2000);
  EXPECT_DOUBLE_EQ(summary.algbw, 4);
  EXPECT_DOUBLE_EQ(summary.busbw, 6);
}

TEST(ParseAllReduceTimes, RefusesWhatIsNoTimes) {
  EXPECT_EQ(ParseAllReduceTimes("3 1.5 2").value().wrong, 3);
  EXPECT_THAT(ParseAllReduceTimes("3 1.5 2").value().microseconds, testing::ElementsAre(1.5, 2));
  for (const char* bad : {"", "x", "1 y"}) {
    EXPECT_EQ(ParseAllReduceTimes(bad).status().code(), absl::StatusCode::kDataLoss) << bad;
  }
}

class ReportTest : public testing::Test {
 protected:
  ReportTest() {
    options_.ranks = 3;
    machine_.host = "here";
    machine_.cores = 8;
    machine_.command_line = {"allreduce_bench", "--ranks", "3"};
    row_.bytes = 4096;
    row_.in_place = {100, 90, 120, 0.04, 0.05, 0};
  }

  AllReduceBenchOptions options_;
  AllReduceMachine machine_;
  AllReduceRow row_;
};

TEST_F(ReportTest, TableSaysWhatWasMeasuredOnWhat) {
  const std::string head = TableHead(options_, machine_);
  for (const char* part : {"here: 8 cores", "3 ranks over shm", "warm-up 5, iterations 20",
                           "allreduce_bench --ranks 3", "algbw", "busbw", "#wrong"}) {
    EXPECT_THAT(head, HasSubstr(part));
  }
  EXPECT_THAT(TableRow(options_, row_), testing::ContainsRegex("4096 +1024 +float +sum +-1"));
}

TEST_F(ReportTest, WrongValuesAreCountedInTableAndFoot) {
  row_.in_place.wrong = 7;
  EXPECT_THAT(TableFoot(options_, {row_}), HasSubstr("Out of bounds values : 7 FAILED"));
  row_.in_place.wrong = 0;
  EXPECT_THAT(TableFoot(options_, {row_}), HasSubstr("Out of bounds values : 0 OK"));
  options_.check = false;
  EXPECT_THAT(TableFoot(options_, {row_}), HasSubstr("Out of bounds values : N/A"));
}

TEST_F(ReportTest, JsonHasTheSameFigures) {
  const auto json = nlohmann::json::parse(ToJson(options_, machine_, {row_}));
  EXPECT_EQ(json["benchmark"], "allreduce");
  EXPECT_EQ(json["ranks"], 3);
  EXPECT_TRUE(json["link_bytes_per_second"].is_null());
  EXPECT_EQ(json["machine"]["cores"], 8);
  ASSERT_EQ(json["rows"].size(), 1u);
  const auto& row = json["rows"][0];
  EXPECT_EQ(row["bytes"], 4096);
  EXPECT_EQ(row["count"], 1024);
  EXPECT_EQ(row["in_place"]["time_us"], 100);
  EXPECT_EQ(row["in_place"]["wrong"], 0);
  EXPECT_FALSE(row.contains("out_of_place"));
}

}  // namespace
}  // namespace sluice
