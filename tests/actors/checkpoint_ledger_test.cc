#include "actors/checkpoint_ledger.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kGeneration = 3;

proto::CheckpointPart Part(int rank, int64_t step, const std::string& error = "",
                           int64_t generation = kGeneration) {
  proto::CheckpointPart part;
  part.mutable_envelope()->set_generation(generation);
  part.set_rank(rank);
  part.set_step(step);
  part.set_error(error);
  if (error.empty()) part.add_files()->set_name(absl::StrCat("reducer_", rank));
  return part;
}

proto::CheckpointDone Done(int64_t step, const std::string& error = "",
                           int64_t generation = kGeneration) {
  proto::CheckpointDone done;
  done.mutable_envelope()->set_generation(generation);
  done.set_step(step);
  done.set_error(error);
  if (error.empty()) done.set_path(absl::StrCat("/root/step_", step));
  done.set_bytes(1000);
  done.set_seconds(0.5);
  return done;
}

class CheckpointLedgerTest : public testing::Test {
 protected:
  CheckpointLedgerTest() { ledger_.Begin(kGeneration, 3); }

  void ExpectNothing(const CheckpointLedger::Progress& progress) {
    EXPECT_FALSE(progress.commit.has_value());
    EXPECT_THAT(progress.dropped, IsEmpty());
  }

  CheckpointLedger ledger_;
};

TEST_F(CheckpointLedgerTest, IsCommittedWhenAllPartsAreThereInAnyOrder) {
  ExpectNothing(ledger_.OnPart(Part(2, 100)));
  ExpectNothing(ledger_.OnPart(Part(0, 100)));
  const auto progress = ledger_.OnPart(Part(1, 100));
  ASSERT_TRUE(progress.commit.has_value());
  EXPECT_EQ(progress.commit->step(), 100);
  ASSERT_EQ(progress.commit->files_size(), 3);
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(progress.commit->files(r).name(), absl::StrCat("reducer_", r));
  }
  EXPECT_EQ(ledger_.open(), 1);
  const auto result = ledger_.OnDone(Done(100));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->step, Step(100));
  EXPECT_EQ(result->path, "/root/step_100");
  EXPECT_EQ(result->error, "");
  EXPECT_EQ(result->bytes, 1000);
  EXPECT_EQ(ledger_.open(), 0);
}

TEST_F(CheckpointLedgerTest, APartThatCannotBeWrittenDropsTheStepOnce) {
  ExpectNothing(ledger_.OnPart(Part(0, 100)));
  const auto progress = ledger_.OnPart(Part(2, 100, "write /root/x: No space left on device"));
  ASSERT_THAT(progress.dropped, SizeIs(1));
  EXPECT_EQ(progress.dropped[0].step, Step(100));
  EXPECT_EQ(progress.dropped[0].path, "");
  EXPECT_EQ(progress.dropped[0].error, "rank 2: write /root/x: No space left on device");
  ExpectNothing(ledger_.OnPart(Part(1, 100, "the same")));
  EXPECT_EQ(ledger_.open(), 0);
}

TEST_F(CheckpointLedgerTest, TheNextOneIsNotHeldUpByADroppedOne) {
  ledger_.OnPart(Part(0, 100, "full"));
  for (int r : {1, 2}) ExpectNothing(ledger_.OnPart(Part(r, 100)));
  for (int r : {0, 1}) ExpectNothing(ledger_.OnPart(Part(r, 200)));
  EXPECT_TRUE(ledger_.OnPart(Part(2, 200)).commit.has_value());
}

TEST_F(CheckpointLedgerTest, AStepThatARankPassedOverIsDropped) {
  ledger_.OnPart(Part(0, 100));
  ledger_.OnPart(Part(1, 100));
  ExpectNothing(ledger_.OnPart(Part(0, 200)));
  const auto progress = ledger_.OnPart(Part(2, 200));
  ASSERT_THAT(progress.dropped, SizeIs(1));
  EXPECT_EQ(progress.dropped[0].step, Step(100));
  EXPECT_THAT(progress.dropped[0].error, HasSubstr("rank 2 passed over it"));
  EXPECT_TRUE(ledger_.OnPart(Part(1, 200)).commit.has_value());
}

TEST_F(CheckpointLedgerTest, TwoMayBeOpenAtOnce) {
  for (int r : {0, 1, 2}) ledger_.OnPart(Part(r, 100));
  for (int r : {0, 1}) ledger_.OnPart(Part(r, 200));
  EXPECT_EQ(ledger_.open(), 2);
  EXPECT_TRUE(ledger_.OnDone(Done(100)).has_value());
  EXPECT_TRUE(ledger_.OnPart(Part(2, 200)).commit.has_value());
}

TEST_F(CheckpointLedgerTest, TheEndOfAGenerationDropsWhatIsOpen) {
  for (int r : {0, 1, 2}) ledger_.OnPart(Part(r, 100));
  ledger_.OnPart(Part(1, 200));
  const auto dropped = ledger_.End("rank 2 was lost");
  ASSERT_THAT(dropped, SizeIs(2));
  EXPECT_EQ(dropped[0].error, "rank 2 was lost; rank 0 may have finished it");
  EXPECT_EQ(dropped[1].error, "rank 2 was lost");
  ledger_.Begin(kGeneration + 1, 2);
  ExpectNothing(ledger_.OnPart(Part(0, 200)));  // late, of the old one
  EXPECT_FALSE(ledger_.OnDone(Done(100)).has_value());
  ExpectNothing(ledger_.OnPart(Part(0, 150, "", kGeneration + 1)));
  EXPECT_TRUE(ledger_.OnPart(Part(1, 150, "", kGeneration + 1)).commit.has_value());
}

TEST_F(CheckpointLedgerTest, NonsenseChangesNothing) {
  for (int rank : {-1, 3}) ExpectNothing(ledger_.OnPart(Part(rank, 100)));
  EXPECT_FALSE(ledger_.OnDone(Done(100)).has_value());
  ledger_.OnPart(Part(0, 100));
  EXPECT_FALSE(ledger_.OnDone(Done(100)).has_value()) << "nobody was asked to commit it";
  ExpectNothing(ledger_.OnPart(Part(0, 100)));
  EXPECT_EQ(ledger_.open(), 1);
}

TEST_F(CheckpointLedgerTest, AFailedCommitHasItsError) {
  for (int r : {0, 1, 2}) ledger_.OnPart(Part(r, 100));
  const auto result = ledger_.OnDone(Done(100, "is /root the same folder on all hosts?"));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->path, "");
  EXPECT_EQ(result->error, "is /root the same folder on all hosts?");
}

}  // namespace
}  // namespace sluice
