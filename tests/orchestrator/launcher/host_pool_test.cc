#include "orchestrator/launcher/host_pool.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HostPoolTest : public testing::Test {
 protected:
  // Fills all slots, but no more than `target`.
  void Make(const std::vector<HostSlots>& hosts, int target = 0) {
    options_.target = target;
    int workers = 0;
    for (const HostSlots& host : hosts) workers += host.slots;
    if (target > 0) workers = std::min(workers, target);
    auto placements = Place(hosts, workers);
    ASSERT_TRUE(placements.ok());
    pool_.emplace(options_, hosts, *placements);
  }
  // The worker fails and is started again. \return what is said of its host
  std::string Fail(int slot) {
    now_ += absl::Seconds(1);
    const auto said = pool_->OnEnded(slot, HostPool::End::kFailed, "exited with 137", now_);
    placed_ = pool_->Place(slot, now_);
    return said.value_or("");
  }
  std::string HostOf(int slot) { return pool_->hosts()[pool_->PlacementOf(slot).host].host; }

  HostPool::Options options_;
  std::optional<HostPool> pool_;
  bool placed_ = false;
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(HostPoolTest, ANewHostIsFilled) {
  Make({{"a", 2}});
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
  EXPECT_THAT(pool_->SetHosts({{"a", 2}, {"b", 2}}), ElementsAre("host b is new, with 2 slots"));
  EXPECT_THAT(pool_->TakeNew(now_), ElementsAre(2, 3));
  EXPECT_EQ(HostOf(3), "b");
  EXPECT_EQ(pool_->PlacementOf(3).local_rank, 1);
  EXPECT_EQ(pool_->PlacementOf(3).cross_rank, 1);
  EXPECT_EQ(pool_->PlacementOf(3).cross_size, 2);
  EXPECT_EQ(pool_->PlacementOf(3).nodes, 2);
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
}

TEST_F(HostPoolTest, NoMoreWorkersThanTheTarget) {
  Make({{"a", 2}}, 3);
  pool_->SetHosts({{"a", 2}, {"b", 4}});
  EXPECT_THAT(pool_->TakeNew(now_), ElementsAre(2));
}

TEST_F(HostPoolTest, TheSameListAgainChangesNothing) {
  Make({{"a", 2}});
  EXPECT_THAT(pool_->SetHosts({{"a", 2}}), IsEmpty());
}

TEST_F(HostPoolTest, WorkersOfAHostThatIsGoneLeaveOnceAndOthersTakeTheirPlace) {
  Make({{"a", 2}, {"b", 2}}, 4);
  pool_->SetHosts({{"a", 2}, {"c", 2}});
  EXPECT_THAT(pool_->TakeLeavers(), ElementsAre(2, 3));
  EXPECT_THAT(pool_->TakeLeavers(), IsEmpty());
  // Their slots are taken until they have ended.
  EXPECT_THAT(pool_->TakeNew(now_), ElementsAre(4, 5));
  EXPECT_FALSE(pool_->OnEnded(2, HostPool::End::kLeft, "exited with 0", now_).has_value());
  EXPECT_EQ(pool_->workers(), 4);
}

TEST_F(HostPoolTest, AHostWithFewerSlotsLosesItsLastWorkers) {
  Make({{"a", 3}});
  pool_->SetHosts({{"a", 1}});
  EXPECT_THAT(pool_->TakeLeavers(), ElementsAre(1, 2));
}

TEST_F(HostPoolTest, AListWithoutAnyHostInUseMakesNobodyLeave) {
  Make({{"a", 2}, {"b", 1}});
  EXPECT_THAT(pool_->SetHosts({}),
              Contains(HasSubstr("none of the hosts that have workers (a, b)")));
  EXPECT_THAT(pool_->TakeLeavers(), IsEmpty());
  // Nor one of new hosts alone; these are taken in, and the next list has somebody who holds the state.
  pool_->SetHosts({{"c", 1}});
  EXPECT_THAT(pool_->TakeLeavers(), IsEmpty());
  EXPECT_THAT(pool_->TakeNew(now_), ElementsAre(3));
  pool_->SetHosts({{"c", 1}});
  EXPECT_THAT(pool_->TakeLeavers(), ElementsAre(0, 1, 2));
}

TEST_F(HostPoolTest, AllHostsAreReplacedAtOnceThoughThereIsNoRoomBesideTheirWorkers) {
  Make({{"a", 2}}, 2);
  pool_->OnGeneration(1, {0, 1});
  pool_->SetHosts({{"b", 2}});
  EXPECT_THAT(pool_->TakeLeavers(), IsEmpty());
  EXPECT_THAT(pool_->TakeNew(now_), ElementsAre(2, 3));
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
  pool_->SetHosts({{"b", 2}});
  EXPECT_THAT(pool_->TakeLeavers(), ElementsAre(0, 1));
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
  EXPECT_EQ(pool_->workers(), 2);
}

TEST_F(HostPoolTest, NoMoreThanThoseThatAreThereRunOnAHostThatIsHeldBack) {
  Make({{"a", 4}}, 2);
  pool_->SetHosts({});
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
  EXPECT_EQ(Fail(1), "");
  EXPECT_TRUE(placed_);
  EXPECT_EQ(HostOf(1), "a");
}

TEST_F(HostPoolTest, AHolderStaysWhenARankOfTheNewestGenerationDoes) {
  Make({{"a", 2}}, 2);
  EXPECT_FALSE(pool_->HolderStays());
  pool_->OnGeneration(1, {0, 1});
  EXPECT_TRUE(pool_->HolderStays());
  pool_->SetHosts({{"b", 1}});
  EXPECT_THAT(pool_->TakeNew(now_), ElementsAre(2));
  pool_->SetHosts({{"b", 1}});
  EXPECT_THAT(pool_->TakeLeavers(), ElementsAre(0, 1));
  EXPECT_FALSE(pool_->HolderStays());  // the new one has been started, and that is all
  pool_->OnGeneration(2, {0, 2});
  EXPECT_TRUE(pool_->HolderStays());
  Fail(2);  // what is started in its place holds nothing
  pool_->OnGeneration(2, {0, 2});
  EXPECT_FALSE(pool_->HolderStays());
}

TEST_F(HostPoolTest, AWorkerIsStartedAgainWhereItWas) {
  Make({{"a", 1}, {"b", 1}}, 2);
  EXPECT_EQ(Fail(1), "");
  EXPECT_TRUE(placed_);
  EXPECT_EQ(HostOf(1), "b");
}

TEST_F(HostPoolTest, AfterThreeFailuresAHostIsLeftOutAndItsWorkerMoves) {
  options_.cooldown_min = absl::Seconds(20);
  options_.cooldown_max = absl::Seconds(60);
  Make({{"a", 2}, {"b", 2}}, 3);  // one slot of b is free
  Fail(0);
  Fail(0);
  EXPECT_THAT(Fail(0), AllOf(HasSubstr("host a is left out for 20s, until 00:00:23 UTC (ban 1): "),
                             HasSubstr("3 failures within 2s, the last: rank 0 exited with 137")));
  EXPECT_TRUE(placed_);
  EXPECT_EQ(HostOf(0), "b");
  EXPECT_EQ(HostOf(1), "a");  // it runs, and goes on
  EXPECT_THAT(pool_->Describe(now_), HasSubstr("a 2 (left out 20s more: 3 failures)"));
}

TEST_F(HostPoolTest, WithoutAnotherPlaceAWorkerWaitsForTheEndOfTheBan) {
  options_.cooldown_min = absl::Seconds(20);
  options_.cooldown_max = absl::Seconds(60);
  Make({{"a", 1}, {"b", 1}}, 2);
  for (int i = 0; i < 3; ++i) Fail(0);
  EXPECT_FALSE(placed_);
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
  EXPECT_FALSE(pool_->Place(0, now_ + absl::Seconds(19)));
  EXPECT_TRUE(pool_->Place(0, now_ + absl::Seconds(20)));
  EXPECT_EQ(HostOf(0), "a");
}

TEST_F(HostPoolTest, BansGrowUpToTheMost) {
  options_.cooldown_min = absl::Seconds(20);
  options_.cooldown_max = absl::Seconds(60);
  Make({{"a", 1}, {"b", 1}}, 2);
  std::vector<std::string> said;
  for (int ban = 0; ban < 3; ++ban) {
    std::string last;
    for (int i = 0; i < 3; ++i) last = Fail(0);
    said.push_back(last);
    now_ += absl::Seconds(100);
    ASSERT_TRUE(pool_->Place(0, now_));
  }
  EXPECT_THAT(said, ElementsAre(HasSubstr("for 20s"), HasSubstr("for 40s"), HasSubstr("for 1m")));
}

TEST_F(HostPoolTest, WithoutACooldownABanLastsForTheRestOfTheJob) {
  Make({{"a", 1}, {"b", 1}}, 2);
  Fail(0);
  Fail(0);
  EXPECT_THAT(Fail(0), HasSubstr("host a is left out for the rest of the job"));
  EXPECT_FALSE(pool_->Place(0, now_ + absl::Hours(1000)));
}

TEST_F(HostPoolTest, AHostThatComesBackKeepsItsBan) {
  Make({{"a", 1}, {"b", 1}}, 2);
  for (int i = 0; i < 3; ++i) Fail(0);
  pool_->SetHosts({{"b", 1}});
  pool_->SetHosts({{"a", 1}, {"b", 1}});
  EXPECT_FALSE(pool_->Place(0, now_));
}

TEST_F(HostPoolTest, TheOnlyHostLeftIsNeverLeftOut) {
  Make({{"a", 2}});
  Fail(0);
  Fail(0);
  EXPECT_THAT(Fail(0), HasSubstr("the only host left"));
  EXPECT_TRUE(placed_);
}

TEST_F(HostPoolTest, WorkersThatFailTogetherAreOneFailureOfTheirHost) {
  Make({{"a", 4}, {"b", 4}}, 8);
  for (int slot = 0; slot < 4; ++slot) EXPECT_EQ(Fail(slot), "");
}

TEST_F(HostPoolTest, FailuresFarApartDoNotAddUp) {
  Make({{"a", 1}, {"b", 1}}, 2);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Fail(0), "");
    now_ += absl::Minutes(6);
  }
}

TEST_F(HostPoolTest, ASlotThatEndedForGoodIsNotFilledAgain) {
  Make({{"a", 2}});
  pool_->OnEnded(1, HostPool::End::kLeft, "exited with 78", now_);
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
  EXPECT_THAT(pool_->Describe(now_), HasSubstr("1 of them ended for good"));
}

TEST_F(HostPoolTest, NobodyTakesThePlaceOfAWorkerThatIsThrough) {
  Make({{"a", 2}, {"b", 2}}, 2);
  pool_->OnEnded(0, HostPool::End::kLeft, "exited with 0", now_);
  EXPECT_THAT(pool_->TakeNew(now_), IsEmpty());
}

TEST_F(HostPoolTest, NobodyLeftIsToldOnceWithTheReasons) {
  Make({{"a", 1}, {"b", 1}}, 2);
  for (int i = 0; i < 3; ++i) Fail(0);
  EXPECT_EQ(pool_->TakeNobodyLeft(now_), "");
  pool_->OnEnded(1, HostPool::End::kLeft, "exited with 78", now_);
  EXPECT_THAT(pool_->TakeNobodyLeft(now_),
              AllOf(HasSubstr("SL1020 no host is left"),
                    HasSubstr("a 1 (left out for the rest of the job: 3 failures)"),
                    HasSubstr("b 1 (1 of them ended for good)")));
  EXPECT_EQ(pool_->TakeNobodyLeft(now_), "");
}

}  // namespace
}  // namespace sluice
