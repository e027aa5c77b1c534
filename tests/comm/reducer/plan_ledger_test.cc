#include "comm/reducer/plan_ledger.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::HasSubstr;

class PlanLedgerTest : public testing::Test {
 protected:
  CodecPlan Plan(uint32_t version, int64_t effective_step) {
    return UniformPlan(layout_, version, Step(effective_step), {CodecKind::kFp16});
  }
  uint32_t VersionAt(int64_t step) { return ledger_.InForce(Step(step)).version; }

  const BucketLayout layout_ = *BucketLayout::Create({{"w", 8}, {"b", 2}}, 1024, 2);
  PlanLedger ledger_{layout_};
};

TEST_F(PlanLedgerTest, StartsRaw) {
  EXPECT_EQ(ledger_.newest(), 0u);
  EXPECT_EQ(VersionAt(0), 0u);
  EXPECT_EQ(ledger_.InForce(Step(0)).codecs, std::vector<CodecConfig>(2));
}

TEST_F(PlanLedgerTest, APlanNobodyAgreedOnStaysOut) {
  ASSERT_TRUE(ledger_.Offer(Plan(1, 0)).ok());
  EXPECT_EQ(ledger_.newest(), 1u);
  EXPECT_EQ(VersionAt(100), 0u);
}

TEST_F(PlanLedgerTest, AnAgreedPlanWaitsForItsStep) {
  ASSERT_TRUE(ledger_.Offer(Plan(1, 10)).ok());
  ASSERT_TRUE(ledger_.Agree(1).ok());
  EXPECT_EQ(VersionAt(9), 0u);
  EXPECT_EQ(VersionAt(10), 1u);
  EXPECT_EQ(ledger_.InForce(Step(11)).codecs[0].kind, CodecKind::kFp16);
}

TEST_F(PlanLedgerTest, EachOfTwoAgreedPlansHasItsTime) {
  ASSERT_TRUE(ledger_.Offer(Plan(1, 10)).ok());
  ASSERT_TRUE(ledger_.Offer(Plan(2, 20)).ok());
  ASSERT_TRUE(ledger_.Agree(1).ok());
  ASSERT_TRUE(ledger_.Agree(2).ok());
  EXPECT_EQ(VersionAt(10), 1u);
  EXPECT_EQ(VersionAt(19), 1u);
  EXPECT_EQ(VersionAt(20), 2u);
}

TEST_F(PlanLedgerTest, AHigherVersionWithAnEarlierStepOvertakes) {
  ASSERT_TRUE(ledger_.Offer(Plan(1, 30)).ok());
  ASSERT_TRUE(ledger_.Agree(1).ok());
  ASSERT_TRUE(ledger_.Offer(Plan(2, 20)).ok());
  ASSERT_TRUE(ledger_.Agree(2).ok());
  EXPECT_EQ(VersionAt(20), 2u);
  EXPECT_EQ(VersionAt(30), 2u) << "an overtaken plan never comes back";
}

TEST_F(PlanLedgerTest, AVersionThatWasNeverTheLowestIsSkipped) {
  for (uint32_t version : {1, 2, 3}) ASSERT_TRUE(ledger_.Offer(Plan(version, 5)).ok());
  ASSERT_TRUE(ledger_.Agree(3).ok());
  EXPECT_EQ(VersionAt(5), 3u);
}

TEST_F(PlanLedgerTest, OldVersionsAreIgnored) {
  ASSERT_TRUE(ledger_.Offer(Plan(4, 0)).ok());
  EXPECT_TRUE(ledger_.Offer(Plan(4, 50)).ok());
  EXPECT_TRUE(ledger_.Offer(Plan(3, 0)).ok());
  EXPECT_EQ(ledger_.newest(), 4u);
  ASSERT_TRUE(ledger_.Agree(4).ok());
  EXPECT_EQ(VersionAt(1), 4u) << "the first plan 4 counts";
}

TEST_F(PlanLedgerTest, AGapIsAnErrorThatNamesWhatIsHeld) {
  ASSERT_TRUE(ledger_.Offer(Plan(2, 0)).ok());
  const absl::Status status = ledger_.Agree(1);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("plan 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("it holds 0, 2"));
}

TEST_F(PlanLedgerTest, AgreementNeverGoesBack) {
  ASSERT_TRUE(ledger_.Offer(Plan(1, 0)).ok());
  ASSERT_TRUE(ledger_.Agree(1).ok());
  EXPECT_TRUE(ledger_.Agree(1).ok());
  EXPECT_EQ(ledger_.Agree(0).code(), absl::StatusCode::kInternal);
}

TEST_F(PlanLedgerTest, RefusesPlansThatDoNotFitTheModel) {
  CodecPlan plan = Plan(1, 0);
  plan.codecs.pop_back();
  EXPECT_EQ(ledger_.Offer(plan).code(), absl::StatusCode::kInvalidArgument);
  plan = Plan(1, 0);
  plan.codecs[1] = {CodecKind::kMaxMin, 9, 512};
  const absl::Status status = ledger_.Offer(plan);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("plan 1, tensor b"));
  EXPECT_EQ(ledger_.newest(), 0u);
}

}  // namespace
}  // namespace sluice
