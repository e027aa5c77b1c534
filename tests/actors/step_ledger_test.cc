#include "actors/step_ledger.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

proto::StepRecord Record(int64_t step, double loss) {
  proto::StepRecord record;
  record.set_step(step);
  record.set_loss(loss);
  record.set_sent_bytes(100);
  return record;
}

TEST(StepLedger, AStepIsCompleteWhenEveryRankHasReportedIt) {
  StepLedger ledger(2);
  EXPECT_TRUE(ledger.Add(Rank(0), Record(0, 1.0))->empty());
  auto complete = ledger.Add(Rank(1), Record(0, 0.5));
  ASSERT_EQ(complete->size(), 1u);
  EXPECT_DOUBLE_EQ(complete->front().loss, 1.5);
}

TEST(StepLedger, StepsCompleteInOrderWhateverOrderRanksReportThem) {
  StepLedger ledger(2);
  for (int64_t step : {0, 1, 2}) EXPECT_TRUE(ledger.Add(Rank(0), Record(step, 1))->empty());
  EXPECT_TRUE(ledger.Add(Rank(1), Record(1, 1))->empty());
  auto complete = ledger.Add(Rank(1), Record(0, 1));
  ASSERT_EQ(complete->size(), 2u);
  EXPECT_EQ((*complete)[0].step, Step(0));
  EXPECT_EQ((*complete)[1].step, Step(1));
  EXPECT_EQ(ledger.newest(), Step(2));
}

TEST(StepLedger, AStepReportedTwiceIsRefused) {
  StepLedger ledger(2);
  ASSERT_TRUE(ledger.Add(Rank(0), Record(0, 1)).ok());
  EXPECT_EQ(ledger.Add(Rank(0), Record(0, 1)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(StepLedger, ARankOutsideTheWorldIsRefused) {
  StepLedger ledger(2);
  EXPECT_FALSE(ledger.Add(Rank(2), Record(0, 1)).ok());
  EXPECT_FALSE(ledger.Add(Rank(-1), Record(0, 1)).ok());
}

TEST(StepLedger, DifferentChecksumsNameRanksAndValues) {
  StepLedger ledger(3);
  for (int rank : {0, 1, 2}) {
    proto::StepRecord record = Record(0, 1);
    record.set_parameter_checksum(rank == 1 ? 0xbad : 0xfee);
    auto result = ledger.Add(Rank(rank), record);
    if (rank < 2) {
      ASSERT_TRUE(result.ok());
      continue;
    }
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(result.status().message()),
                testing::AllOf(testing::HasSubstr("rank 1: 0000000000000bad"),
                               testing::HasSubstr("rank 0, 2: 0000000000000fee")));
  }
}

TEST(StepLedger, EqualChecksumsAreCounted) {
  StepLedger ledger(2);
  for (int rank : {0, 1}) {
    proto::StepRecord record = Record(0, 1);
    record.set_parameter_checksum(7);
    ASSERT_TRUE(ledger.Add(Rank(rank), record).ok());
  }
  EXPECT_EQ(ledger.totals().checksums_compared, 1);
}

TEST(StepLedger, AMissingChecksumOfOneRankIsAnError) {
  StepLedger ledger(2);
  proto::StepRecord record = Record(0, 1);
  record.set_parameter_checksum(7);
  ASSERT_TRUE(ledger.Add(Rank(0), record).ok());
  EXPECT_FALSE(ledger.Add(Rank(1), Record(0, 1)).ok());
}

TEST(StepLedger, DifferentPolicyVersionsInOneStepAreAnError) {
  StepLedger ledger(2);
  proto::StepRecord record = Record(0, 1);
  ASSERT_TRUE(ledger.Add(Rank(0), record).ok());
  record.set_policy_version(1);
  auto result = ledger.Add(Rank(1), record);
  EXPECT_THAT(std::string(result.status().message()), testing::HasSubstr("version 1"));
}

TEST(StepLedger, PredictionIsThatOfTheVersionInForce) {
  StepLedger ledger(1);
  ledger.SetPrediction(0, 50);
  ledger.SetPrediction(1, 20);
  proto::StepRecord record = Record(0, 1);
  EXPECT_DOUBLE_EQ(ledger.Add(Rank(0), record)->front().predicted_bytes, 50);
  record.set_step(1);
  record.set_policy_version(1);
  EXPECT_DOUBLE_EQ(ledger.Add(Rank(0), record)->front().predicted_bytes, 20);
  EXPECT_DOUBLE_EQ(ledger.totals().predicted_bytes, 70);
}

}  // namespace
}  // namespace sluice
