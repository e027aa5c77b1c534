// A job of several phases, as the coordinator runs it.

#include "actors/coordinator_state.h"
#include "actors/recording_observer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using Outgoing = CoordinatorState::Outgoing;

constexpr int64_t kFirstSteps = 40, kSecondSteps = 20;

// "warm" until an accuracy of 0.5, at most 40 steps, then "fine" with other compression.
proto::JobConfig TwoPhases(const std::string& policies) {
  return *ParseJob(absl::StrCat("world: {size: 2, min_size: 1}\n", policies, R"(
phases:
- {name: warm, steps: 40, until: accuracy, target: 0.5, evaluate_every_steps: 10}
- {name: fine, kind: finetune, steps: 20, compression: {policy: none}}
)"),
                   JobFormat::kYaml, "two phases", {});
}

class PhasesTest : public testing::Test {
 protected:
  void Make(const proto::JobConfig& job, int profilers = 0) {
    CoordinatorState::Options options;
    options.job_id = kJobId;
    options.job_digest = kDigest;
    options.job = job;
    options.profilers = profilers;
    observer_ = {};
    state_ = *CoordinatorState::Create(
        options, [this] { return now_; }, &observer_);
  }
  std::vector<Outgoing> Join(int slot, int64_t completed = 0, const proto::ScheduleLog& log = {},
                             int64_t second_steps = kSecondSteps) {
    proto::Join join = JoinOf(proto::ROLE_WORKER, slot);
    join.clear_phase_steps();
    join.add_phase_steps(kFirstSteps);
    join.add_phase_steps(second_steps);
    join.set_completed_steps(completed);
    *join.mutable_schedule() = log;
    return state_->OnJoin(slot, join);
  }
  std::vector<Outgoing> Evaluate(int rank, int64_t step, int64_t correct, int64_t generation = 1) {
    proto::PhaseEvaluation message;
    *message.mutable_envelope() = EnvelopeOf(generation);
    message.set_rank(rank);
    message.set_step(step);
    message.mutable_evaluation()->set_predictions(100);
    message.mutable_evaluation()->set_correct(correct);
    return state_->OnPhaseEvaluation(rank, message);
  }
  template <class M>
  static std::vector<M> Of(const std::vector<Outgoing>& out, CoordinatorState::MemberId to) {
    std::vector<M> found;
    for (const Outgoing& one : out) {
      if (const auto* message = std::get_if<M>(&one.message); message != nullptr && one.to == to) {
        found.push_back(*message);
      }
    }
    return found;
  }

  absl::Time now_ = absl::UnixEpoch();
  RecordingObserver observer_;
  std::unique_ptr<CoordinatorState> state_;
};

TEST_F(PhasesTest, ADecisionComesWithTheLastRanksEvaluation) {
  Make(TwoPhases("compression: {policy: none}"));
  Join(0);
  Join(1);
  EXPECT_TRUE(Evaluate(0, 10, 20).empty());
  const auto out = Evaluate(1, 10, 30);
  for (int rank : {0, 1}) {
    const auto decisions = Of<proto::PhaseDecision>(out, rank);
    ASSERT_EQ(decisions.size(), 1u);
    EXPECT_EQ(decisions[0].entry().step(), 10);
    EXPECT_EQ(decisions[0].entry().evaluation().predictions(), 200);
    EXPECT_EQ(decisions[0].entry().evaluation().correct(), 50);
  }
  ASSERT_EQ(observer_.evaluations.size(), 1u);
  EXPECT_EQ(observer_.phases.back().name, "warm");
}

TEST_F(PhasesTest, BeforeTheFirstWindowEndsNoneIsAwaited) {
  Make(TwoPhases("compression: {policy: lgreco, window_steps: 15}"), 1);
  Join(0);
  Join(1);
  state_->OnJoin(2, JoinOf(proto::ROLE_PROFILER, 0));
  Evaluate(0, 10, 20);
  const auto out = Evaluate(1, 10, 30);
  EXPECT_EQ(Of<proto::PhaseDecision>(out, 0).size(), 1u);
}

TEST_F(PhasesTest, TheConditionBeginsTheNextPhase) {
  Make(TwoPhases("compression: {policy: none}"));
  Join(0);
  Join(1);
  Evaluate(0, 10, 50);
  Evaluate(1, 10, 50);
  EXPECT_EQ(observer_.phases.back().name, "fine");
  EXPECT_EQ(observer_.phases.back().first_step, 10);
  EXPECT_EQ(observer_.phases.back().end_step, 30);
}

TEST_F(PhasesTest, EvaluationsThatAreNotDueChangeNothing) {
  Make(TwoPhases("compression: {policy: none}"));
  Join(0);
  Join(1);
  EXPECT_TRUE(Evaluate(0, 11, 50).empty());
  EXPECT_TRUE(Evaluate(1, 11, 50).empty());
  EXPECT_TRUE(Evaluate(1, 10, 50, 7).empty()) << "of another generation";
  EXPECT_TRUE(observer_.evaluations.empty());
}

TEST_F(PhasesTest, ThePlanOfTheNextPhaseComesBeforeTheDecision) {
  Make(TwoPhases("compression: {policy: uniform, warmup_steps: 0}"));
  Join(0);
  Join(1);
  Evaluate(0, 10, 50);
  const auto out = Evaluate(1, 10, 50);
  std::vector<std::string> kinds;
  for (const Outgoing& one : out) {
    if (one.to != 0) continue;
    if (const auto* update = std::get_if<proto::PolicyUpdate>(&one.message)) {
      kinds.push_back("plan");
      EXPECT_EQ(update->policy().effective_step(), 11);
      for (const auto& layer : update->policy().layers()) {
        EXPECT_EQ(layer.codec().kind(), proto::CODEC_RAW) << layer.name();
      }
    }
    if (std::holds_alternative<proto::PhaseDecision>(one.message)) kinds.push_back("decision");
  }
  EXPECT_THAT(kinds, ::testing::ElementsAre("plan", "decision"));
}

TEST_F(PhasesTest, AWindowThatEndedInThePhaseIsDecidedFirst) {
  Make(TwoPhases("compression: {policy: lgreco, warmup_steps: 0, window_steps: 10, lead_steps: 5}"),
       1);
  Join(0);
  Join(1);
  state_->OnJoin(2, JoinOf(proto::ROLE_PROFILER, 0));
  ASSERT_TRUE(observer_.started.has_value());
  Evaluate(0, 10, 50);
  EXPECT_TRUE(Of<proto::PhaseDecision>(Evaluate(1, 10, 50), 0).empty());
  proto::Statistics statistics;
  *statistics.mutable_envelope() = EnvelopeOf(1);
  statistics.mutable_window()->set_window(0);
  statistics.mutable_window()->set_last_step(9);
  for (const char* name : {"fc.weight", "fc.bias"}) {
    proto::LayerStatistics& layer = *statistics.mutable_window()->add_layers();
    layer.set_name(name);
    layer.set_eligible(std::string(name) == "fc.weight");
    layer.set_squared_norm(100);
    layer.add_options()->set_wire_bytes(4000);  // raw
    if (!layer.eligible()) continue;
    proto::OptionStatistics& reference = *layer.add_options();
    reference.mutable_codec()->set_kind(proto::CODEC_MAXMIN);
    reference.mutable_codec()->set_bits(4);
    reference.mutable_codec()->set_bucket_size(512);
    reference.set_squared_error(1);
    reference.set_wire_bytes(400);
  }
  const auto out = state_->OnStatistics(2, statistics);
  EXPECT_EQ(state_->phase(), CoordinatorState::Phase::kRunning)
      << (observer_.ends.empty() ? "" : std::get<proto::Failure>(observer_.ends[0]).cause());
  EXPECT_EQ(Of<proto::PhaseDecision>(out, 0).size(), 1u);
}

TEST_F(PhasesTest, ALossBeforeTheDecisionIsEvaluatedAnewByThoseWhoAreLeft) {
  Make(TwoPhases("compression: {policy: none}"));
  Join(0);
  Join(1);
  Evaluate(0, 10, 50);
  state_->OnLost(1, "killed");
  const auto out = Join(0, 10);
  const auto starts = Of<proto::StartGeneration>(out, 0);
  ASSERT_EQ(starts.size(), 1u);
  EXPECT_EQ(starts[0].schedule().entries_size(), 0);
  EXPECT_EQ(Of<proto::PhaseDecision>(Evaluate(0, 10, 20, 2), 0).size(), 1u);
}

TEST_F(PhasesTest, ALossAfterTheDecisionKeepsIt) {
  Make(TwoPhases("compression: {policy: none}"));
  Join(0);
  Join(1);
  Evaluate(0, 10, 50);
  Evaluate(1, 10, 50);
  state_->OnLost(1, "killed");
  const auto starts = Of<proto::StartGeneration>(Join(0, 12), 0);
  ASSERT_EQ(starts.size(), 1u);
  EXPECT_EQ(starts[0].schedule().entries_size(), 1);
  EXPECT_EQ(starts[0].total_steps(), 30);
  EXPECT_EQ(observer_.phases.back().name, "fine");
}

TEST_F(PhasesTest, ACoordinatorThatWasStartedAgainLearnsThePhaseFromTheWorkers) {
  proto::ScheduleLog log;
  log.add_entries()->set_step(10);
  log.mutable_entries(0)->mutable_evaluation()->set_predictions(10);
  log.mutable_entries(0)->mutable_evaluation()->set_correct(9);
  Make(TwoPhases("compression: {policy: none}"));
  Join(0, 12, log);
  const auto out = Join(1, 12, log);
  const auto starts = Of<proto::StartGeneration>(out, 0);
  ASSERT_EQ(starts.size(), 1u);
  EXPECT_EQ(starts[0].schedule().entries_size(), 1);
  EXPECT_EQ(observer_.phases.back().name, "fine");
}

TEST_F(PhasesTest, APhaseOfAnotherLengthIsRefusedWithBoth) {
  Make(TwoPhases("compression: {policy: none}"));
  Join(0);
  const auto out = Join(1, 0, {}, 21);
  ASSERT_FALSE(out.empty());
  const auto* refused = std::get_if<proto::JoinRefused>(&out[0].message);
  ASSERT_NE(refused, nullptr);
  EXPECT_THAT(refused->reason(), HasSubstr("40, 21 steps here and 40, 20 elsewhere"));
}

}  // namespace
}  // namespace sluice
