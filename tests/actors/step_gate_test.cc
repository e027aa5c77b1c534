#include "actors/step_gate.h"

#include <thread>

#include "absl/time/clock.h"
#include "actors/policy_publisher.h"
#include "gtest/gtest.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

using Pass = StepGate::Pass;

// Windows of 100 steps, warm-up of 50, plans 5 steps after their window.
proto::Compression Compression() { return DefaultJob(2).compression(); }

proto::StartGeneration StartAt(int64_t step, int64_t decided = kNoMoreDecisions) {
  proto::StartGeneration start;
  start.set_start_step(step);
  start.set_decided_window(decided);
  start.set_newest_version(9);
  return start;
}

proto::PolicyUpdate Update(uint32_t version, int64_t effective_step, int64_t window) {
  proto::PolicyUpdate update;
  update.set_window(window);
  update.mutable_policy()->set_version(version);
  update.mutable_policy()->set_effective_step(effective_step);
  return update;
}

proto::Hold HoldOf(int64_t serial) {
  proto::Hold hold;
  hold.set_serial(serial);
  return hold;
}

proto::Boundary BoundaryOf(int64_t serial, int64_t step, proto::Boundary::Then then,
                           bool checkpoint = false) {
  proto::Boundary boundary;
  boundary.set_serial(serial);
  boundary.set_before_step(step);
  boundary.set_then(then);
  boundary.set_checkpoint(checkpoint);
  return boundary;
}

TEST(StepGateTest, PlansAreOfferedOneStepBeforeTheyTakeEffect) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnPolicy(Update(1, 3, kNoDecision));
  EXPECT_TRUE(gate.Before(Step(0)).plans.empty());
  EXPECT_TRUE(gate.Before(Step(1)).plans.empty());
  const StepGate::Verdict verdict = gate.Before(Step(2));
  ASSERT_EQ(verdict.plans.size(), 1u);
  EXPECT_EQ(verdict.plans[0].version(), 1u);
}

TEST(StepGateTest, AfterAHoldNoStepBeginsUntilTheBoundaryIsKnown) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  ASSERT_EQ(gate.Before(Step(0)).pass, Pass::kStep);
  EXPECT_EQ(gate.OnHold(HoldOf(1)), 0);
  Pass passed = Pass::kEnded;
  std::thread loop([&] { passed = gate.Before(Step(1)).pass; });
  gate.OnBoundary(BoundaryOf(1, 2, proto::Boundary::THEN_REGROUP));
  loop.join();
  EXPECT_EQ(passed, Pass::kStep);
  EXPECT_EQ(gate.Before(Step(2)).pass, Pass::kRegroup);
}

// The profiler whose window it was may have seen the first rank leave, and never answers.
TEST(StepGateTest, OnTheWayOutNoDecisionOnAWindowIsWaitedFor) {
  for (const proto::Boundary::Then then :
       {proto::Boundary::THEN_REGROUP, proto::Boundary::THEN_LEAVE}) {
    StepGate gate(Compression(), true);
    gate.OnStart(StartAt(104, /*decided=*/kInitialDecision));
    gate.OnHold(HoldOf(1));
    gate.OnBoundary(BoundaryOf(1, 104, then));
    const absl::Time begin = absl::Now();
    const Pass passed = gate.Before(Step(104)).pass;  // a plan for window 0 follows
    EXPECT_LT(absl::Now() - begin, StepGate::kDecisionWait);
    EXPECT_EQ(passed, then == proto::Boundary::THEN_LEAVE ? Pass::kLeave : Pass::kRegroup);
  }
}

TEST(StepGateTest, TheBoundaryOfAnotherHoldIsIgnored) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnHold(HoldOf(1));
  gate.OnBoundary(BoundaryOf(1, 1, proto::Boundary::THEN_CONTINUE));
  gate.OnBoundary(BoundaryOf(0, 1, proto::Boundary::THEN_LEAVE));
  EXPECT_EQ(gate.Before(Step(0)).pass, Pass::kStep);
  EXPECT_EQ(gate.Before(Step(1)).pass, Pass::kStep);
}

TEST(StepGateTest, ACheckpointOnDemandDoesNotStopTraining) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnHold(HoldOf(4));
  gate.OnBoundary(BoundaryOf(4, 1, proto::Boundary::THEN_CONTINUE, true));
  EXPECT_FALSE(gate.Before(Step(0)).checkpoint);
  const StepGate::Verdict verdict = gate.Before(Step(1));
  EXPECT_TRUE(verdict.checkpoint);
  EXPECT_EQ(verdict.pass, Pass::kStep);
  EXPECT_FALSE(gate.Before(Step(2)).checkpoint);
}

TEST(StepGateTest, TheGenerationsEndFreesALoopThatIsHeld) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnHold(HoldOf(1));
  Pass passed = Pass::kStep;
  std::thread loop([&] { passed = gate.Before(Step(0)).pass; });
  proto::EndGeneration end;
  end.set_reason("rank 1 is gone");
  gate.OnGenerationOver(end);
  loop.join();
  EXPECT_EQ(passed, Pass::kRegroup);
  EXPECT_TRUE(gate.over());
}

TEST(StepGateTest, TheNextGenerationForgetsHoldsAndOffersPlansAgain) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnPolicy(Update(1, 6, kNoDecision));
  ASSERT_EQ(gate.Before(Step(5)).plans.size(), 1u);  // offered to a reducer that is then aborted
  gate.OnHold(HoldOf(1));
  gate.OnGenerationOver({});
  gate.OnStart(StartAt(5));
  const StepGate::Verdict verdict = gate.Before(Step(5));
  EXPECT_EQ(verdict.pass, Pass::kStep);
  EXPECT_EQ(verdict.plans.size(), 1u);
}

TEST(StepGateTest, PlansThatANewCoordinatorDoesNotKnowAreForgotten) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnPolicy(Update(1, 3, kNoDecision));
  gate.OnPolicy(Update(2, 3, kNoDecision));
  gate.OnGenerationOver({});
  proto::StartGeneration start = StartAt(0);
  start.set_newest_version(1);
  gate.OnStart(start);
  gate.OnPolicy(Update(2, 4, kNoDecision));  // another one under the same number
  EXPECT_TRUE(gate.Before(Step(0)).plans.empty());
  const StepGate::Verdict verdict = gate.Before(Step(3));
  ASSERT_EQ(verdict.plans.size(), 2u);
  EXPECT_EQ(verdict.plans[1].effective_step(), 4);
}

TEST(StepGateTest, TheStateForANewCoordinatorHasThePlanInForceAndThoseToCome) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0, kNoDecision));
  proto::Join join;
  gate.AddPolicyState(Step(10), join);
  EXPECT_FALSE(join.has_policy_state());  // nothing was decided yet
  gate.OnPolicy(Update(1, 50, kInitialDecision));
  gate.OnPolicy(Update(2, 105, 0));
  gate.OnPolicy(Update(3, 205, 1));
  gate.AddPolicyState(Step(150), join);
  EXPECT_EQ(join.policy_state().policy().version(), 2u);
  ASSERT_EQ(join.policy_state().pending_size(), 1);
  EXPECT_EQ(join.policy_state().pending(0).version(), 3u);
  EXPECT_EQ(join.policy_state().decided_window(), 0);  // window 1 has not ended before step 150
}

proto::PhaseDecision DecisionAt(int64_t step) {
  proto::PhaseDecision decision;
  decision.mutable_entry()->set_step(step);
  return decision;
}

TEST(StepGateTest, ADecisionOnPhasesIsWaitedFor) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnPhase(DecisionAt(10));
  std::thread coordinator([&] { gate.OnPhase(DecisionAt(20)); });
  const auto entry = gate.AwaitPhase(Step(20));
  coordinator.join();
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->step(), 20);
}

TEST(StepGateTest, OnTheWayToARegroupNoDecisionOnPhasesIsWaitedFor) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnHold(HoldOf(1));
  std::thread coordinator(
      [&] { gate.OnBoundary(BoundaryOf(1, 20, proto::Boundary::THEN_REGROUP)); });
  EXPECT_FALSE(gate.AwaitPhase(Step(20)).has_value());
  coordinator.join();
  EXPECT_EQ(gate.Before(Step(20)).pass, Pass::kRegroup);
}

TEST(StepGateTest, ADecisionOnPhasesIsOfItsGeneration) {
  StepGate gate(Compression(), true);
  gate.OnStart(StartAt(0));
  gate.OnPhase(DecisionAt(20));
  gate.OnStart(StartAt(20));
  gate.OnGenerationOver({});
  EXPECT_FALSE(gate.AwaitPhase(Step(20)).has_value());
}

}  // namespace
}  // namespace sluice
