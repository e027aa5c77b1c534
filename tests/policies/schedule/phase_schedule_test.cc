#include "policies/schedule/phase_schedule.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/schedule/evaluation_sums.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

proto::Phase PhaseOf(const std::string& name, const std::string& until = "never") {
  proto::Phase phase;
  phase.set_kind("train");
  phase.set_name(name);
  phase.set_until(until);
  phase.set_repeat(1);
  phase.set_patience(2);
  phase.set_evaluate_every_steps(10);
  return phase;
}

proto::ScheduleLog::Entry EntryOf(int64_t step, double accuracy, double loss = 1) {
  proto::ScheduleLog::Entry entry;
  entry.set_step(step);
  entry.mutable_evaluation()->set_predictions(1000);
  entry.mutable_evaluation()->set_correct(static_cast<int64_t>(1000 * accuracy));
  entry.mutable_evaluation()->set_loss_sum(1000 * loss);
  return entry;
}

TEST(RunOrder, PhasesFollowOneAnother) {
  EXPECT_THAT(*RunOrder({PhaseOf("a"), PhaseOf("b")}), ElementsAre(0, 1));
}

TEST(RunOrder, ABlockIsRepeated) {
  proto::Phase c = PhaseOf("c");
  c.set_repeat(3);
  c.set_repeat_from("b");
  EXPECT_THAT(*RunOrder({PhaseOf("a"), PhaseOf("b"), c, PhaseOf("d")}),
              ElementsAre(0, 1, 2, 1, 2, 1, 2, 3));
}

TEST(RunOrder, BlocksNest) {
  proto::Phase b = PhaseOf("b"), c = PhaseOf("c");
  b.set_repeat(2);
  c.set_repeat(2);
  c.set_repeat_from("a");
  EXPECT_THAT(*RunOrder({PhaseOf("a"), b, c}), ElementsAre(0, 1, 1, 2, 0, 1, 1, 2));
}

TEST(RunOrder, RefusesNamesThatItCannotTellApartOrFind) {
  EXPECT_THAT(std::string(RunOrder({PhaseOf("a"), PhaseOf("a")}).status().message()),
              HasSubstr("phases[1].name: \"a\" is taken"));
  proto::Phase a = PhaseOf("a");
  a.set_repeat_from("b");
  EXPECT_THAT(std::string(RunOrder({a, PhaseOf("b")}).status().message()),
              HasSubstr("phases[0].repeat_from: no phase up to this one is named \"b\""));
}

TEST(RunOrder, RefusesMoreRunsThanAnybodyMeans) {
  proto::Phase a = PhaseOf("a"), b = PhaseOf("b"), c = PhaseOf("c");
  a.set_repeat(1000);
  b.set_repeat(1000);
  b.set_repeat_from("a");
  EXPECT_THAT(std::string(RunOrder({a, b, c}).status().message()), HasSubstr("phases[1].repeat"));
}

TEST(PhaseSchedule, AJobWithoutPhasesIsOneThatIsNeverInterrupted) {
  proto::JobConfig job;
  job.mutable_optimizer()->set_learning_rate(0.5);
  const auto schedule = *PhaseSchedule::Create(PhasesOf(job), {100});
  EXPECT_EQ(schedule.total_steps(), 100);
  EXPECT_EQ(schedule.phase().optimizer().learning_rate(), 0.5);
  for (int64_t step = 0; step <= 100; ++step) EXPECT_FALSE(schedule.Due(step)) << step;
}

TEST(PhaseSchedule, APhaseEndsAfterItsSteps) {
  auto schedule = *PhaseSchedule::Create({PhaseOf("a"), PhaseOf("b")}, {30, 20});
  EXPECT_EQ(schedule.total_steps(), 50);
  EXPECT_FALSE(schedule.Due(10));
  EXPECT_TRUE(schedule.Due(30));
  EXPECT_TRUE(*schedule.Record(EntryOf(30, 0)));
  EXPECT_EQ(NameOf(schedule.phase()), "b");
  EXPECT_EQ(schedule.run().first_step, 30);
  EXPECT_FALSE(schedule.Due(30)) << "once";
  EXPECT_FALSE(schedule.Due(50)) << "the job's end has an evaluation of its own";
}

TEST(PhaseSchedule, AConditionEndsAPhaseEarlyAndTheJobIsShorter) {
  proto::Phase a = PhaseOf("a", "accuracy");
  a.set_target(0.8);
  auto schedule = *PhaseSchedule::Create({a, PhaseOf("b")}, {100, 20});
  EXPECT_FALSE(*schedule.Record(EntryOf(10, 0.7)));
  EXPECT_TRUE(schedule.Due(20));
  EXPECT_TRUE(*schedule.Record(EntryOf(20, 0.8)));
  EXPECT_EQ(schedule.run().number, 1);
  EXPECT_EQ(schedule.total_steps(), 40);
}

TEST(PhaseSchedule, ALossConditionOfTheLastPhaseEndsTheJob) {
  proto::Phase a = PhaseOf("a", "loss");
  a.set_target(0.5);
  auto schedule = *PhaseSchedule::Create({a}, {100});
  EXPECT_FALSE(*schedule.Record(EntryOf(10, 0, 0.6)));
  EXPECT_FALSE(*schedule.Record(EntryOf(20, 0, 0.5)));
  EXPECT_EQ(schedule.total_steps(), 20);
  EXPECT_FALSE(schedule.Due(30));
}

TEST(PhaseSchedule, APlateauIsPatienceEvaluationsWithoutABetterLoss) {
  auto schedule = *PhaseSchedule::Create({PhaseOf("a", "plateau"), PhaseOf("b")}, {100, 10});
  const double losses[] = {1.0, 0.9, 0.95, 0.8, 0.8, 0.85};
  for (int e = 0; e < 6; ++e) {
    EXPECT_EQ(*schedule.Record(EntryOf(10 * (e + 1), 0, losses[e])), e == 5) << e;
  }
}

TEST(PhaseSchedule, AnImprovementBelowMinDeltaIsNone) {
  proto::Phase a = PhaseOf("a", "plateau");
  a.set_min_delta(0.1);
  auto schedule = *PhaseSchedule::Create({a, PhaseOf("b")}, {100, 10});
  EXPECT_FALSE(*schedule.Record(EntryOf(10, 0, 1.0)));
  EXPECT_FALSE(*schedule.Record(EntryOf(20, 0, 0.95)));
  EXPECT_TRUE(*schedule.Record(EntryOf(30, 0, 0.92)));
}

TEST(PhaseSchedule, ARepeatedRunHasAHistoryOfItsOwn) {
  proto::Phase a = PhaseOf("a", "plateau");
  a.set_repeat(2);
  auto schedule = *PhaseSchedule::Create({a}, {100});
  for (int64_t step : {10, 20}) EXPECT_FALSE(*schedule.Record(EntryOf(step, 0, 1)));
  EXPECT_TRUE(*schedule.Record(EntryOf(30, 0, 1)));
  EXPECT_FALSE(*schedule.Record(EntryOf(40, 0, 5))) << "the best of this run";
  EXPECT_EQ(schedule.run().first_step, 30);
}

TEST(PhaseSchedule, AnEntryThatIsNotDueIsRefused) {
  auto schedule = *PhaseSchedule::Create({PhaseOf("a"), PhaseOf("b")}, {30, 20});
  EXPECT_FALSE(schedule.Record(EntryOf(29, 0)).ok());
  EXPECT_EQ(schedule.log().entries_size(), 0);
}

TEST(PhaseSchedule, RestoreOfAnotherJobsLogChangesNothing) {
  auto schedule = *PhaseSchedule::Create({PhaseOf("a"), PhaseOf("b")}, {30, 20});
  ASSERT_TRUE(schedule.Record(EntryOf(30, 0)).ok());
  proto::ScheduleLog other;
  *other.add_entries() = EntryOf(17, 0);
  EXPECT_EQ(schedule.Restore(other, 100).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(schedule.run().number, 1);
}

// At any step, what is restored from the log goes on exactly as what never stopped.
TEST(PhaseSchedule, RestoreAtAnyStepIsAsIfNothingHadHappened) {
  for (int seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto draw = [&](int below) { return static_cast<int>(random() % below); };
    std::vector<proto::Phase> phases;
    std::vector<int64_t> steps;
    for (int p = 0; p < 1 + draw(4); ++p) {
      const char* const conditions[] = {"never", "accuracy", "loss", "plateau"};
      phases.push_back(PhaseOf(std::string(1, static_cast<char>('a' + p)), conditions[draw(4)]));
      phases.back().set_target(0.5);
      phases.back().set_evaluate_every_steps(1 + draw(5));
      phases.back().set_repeat(1 + draw(3));
      if (p > 0 && draw(2) == 0) phases.back().set_repeat_from("a");
      steps.push_back(1 + draw(20));
    }
    auto live = *PhaseSchedule::Create(phases, steps);
    for (int64_t step = 0; step <= live.total_steps(); ++step) {
      const int64_t before = live.total_steps();
      if (live.Due(step)) {
        ASSERT_TRUE(live.Record(EntryOf(step, draw(100) / 100.0, draw(100) / 50.0)).ok());
      }
      EXPECT_LE(live.total_steps(), before) << "seed " << seed;
      EXPECT_LE(live.run().first_step, step);
      EXPECT_LE(step, live.run().end());
      auto other = *PhaseSchedule::Create(phases, steps);
      ASSERT_TRUE(other.Restore(live.log(), step).ok());
      EXPECT_EQ(other.run().number, live.run().number) << "seed " << seed << " step " << step;
      EXPECT_EQ(other.run().first_step, live.run().first_step);
      EXPECT_EQ(other.total_steps(), live.total_steps());
      EXPECT_FALSE(other.Due(step));
    }
    // And an earlier point of it: entries after that are forgotten.
    const int64_t back = draw(static_cast<int>(live.total_steps()) + 1);
    auto rewound = *PhaseSchedule::Create(phases, steps);
    ASSERT_TRUE(rewound.Restore(live.log(), back).ok());
    for (const auto& entry : rewound.log().entries()) EXPECT_LE(entry.step(), back);
  }
}

}  // namespace
}  // namespace sluice
