#include "actors/coordinator_state.h"

#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "actors/recording_observer.h"
#include "base/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using Outgoing = CoordinatorState::Outgoing;

class CoordinatorStateTest : public testing::Test {
 protected:
  void Make(int workers, int profilers) { Make(DefaultJob(workers), profilers); }
  void Make(proto::JobConfig job, int profilers) {
    CoordinatorState::Options options;
    options.job_id = kJobId;
    options.job_digest = kDigest;
    options.job = std::move(job);
    options.profilers = profilers;
    state_ = *CoordinatorState::Create(
        options, [this] { return now_; }, &observer_);
  }
  // Workers are members 0, 1, ...; profilers follow.
  std::vector<Outgoing> JoinAll(int workers, int profilers) {
    std::vector<Outgoing> out;
    for (int i = 0; i < workers; ++i) out = state_->OnJoin(i, JoinOf(proto::ROLE_WORKER, i));
    for (int i = 0; i < profilers; ++i) {
      out = state_->OnJoin(workers + i, JoinOf(proto::ROLE_PROFILER, i));
    }
    return out;
  }
  std::string FailureCause() const {
    return observer_.ends.empty() ? "" : std::get<proto::Failure>(observer_.ends.front()).cause();
  }
  proto::WorkerDone Done(int rank) {
    proto::WorkerDone done;
    *done.mutable_envelope() = EnvelopeOf(1);
    done.set_rank(rank);
    done.set_steps(1);
    done.mutable_evaluation()->set_predictions(10);
    done.mutable_evaluation()->set_correct(9);
    done.mutable_evaluation()->set_loss_sum(5);
    return done;
  }

  absl::Time now_ = absl::UnixEpoch();
  RecordingObserver observer_;
  std::unique_ptr<CoordinatorState> state_;
};

template <class M>
int Count(const std::vector<Outgoing>& out) {
  int n = 0;
  for (const Outgoing& one : out) n += std::holds_alternative<M>(one.message) ? 1 : 0;
  return n;
}

std::string Refusal(const std::vector<Outgoing>& out) {
  return !out.empty() && std::holds_alternative<proto::JoinRefused>(out[0].message)
             ? std::get<proto::JoinRefused>(out[0].message).reason()
             : "";
}

TEST_F(CoordinatorStateTest, StartsWhenAllHaveJoinedAndHandsOutRanksBySlot) {
  Make(2, 1);
  EXPECT_TRUE(state_->OnJoin(7, JoinOf(proto::ROLE_PROFILER, 0)).empty());
  EXPECT_TRUE(state_->OnJoin(8, JoinOf(proto::ROLE_WORKER, 1)).empty());
  const auto out = state_->OnJoin(9, JoinOf(proto::ROLE_WORKER, 0));
  ASSERT_EQ(Count<proto::StartGeneration>(out), 3);
  EXPECT_EQ(state_->phase(), CoordinatorState::Phase::kRunning);
  for (const Outgoing& one : out) {
    if (!std::holds_alternative<proto::StartGeneration>(one.message)) continue;
    const auto& start = std::get<proto::StartGeneration>(one.message);
    EXPECT_EQ(start.rank(), one.to == 9 ? 0 : one.to == 8 ? 1 : 2);
    EXPECT_EQ(start.world_size(), 2);
    EXPECT_EQ(start.transport_addresses_size(), 3);
    EXPECT_EQ(start.envelope().generation(), 1);
  }
}

TEST_F(CoordinatorStateTest, TheUniformPlanEndsTheWarmUp) {
  Make(2, 1);
  const auto out = JoinAll(2, 1);
  EXPECT_EQ(Count<proto::PolicyUpdate>(out), 2);  // workers alone
  ASSERT_EQ(observer_.policies.size(), 1u);
  EXPECT_EQ(observer_.policies[0].version(), 1u);
  EXPECT_EQ(observer_.policies[0].effective_step(), 50);
  EXPECT_EQ(observer_.policies[0].layers(0).codec().bits(), 4);
  EXPECT_EQ(observer_.policies[0].layers(1).codec().kind(), proto::CODEC_RAW);
}

class RecordedPlansTest : public CoordinatorStateTest {
 protected:
  void MakeRecorded(const std::string& matrix) {
    proto::JobConfig job = DefaultJob(2);
    job.mutable_compression()->set_policy("recorded");
    job.mutable_compression()->set_plan_file(testing::TempDir() + "/plans.jsonl");
    std::ofstream file(job.compression().plan_file());
    for (const auto& [step, bits] : std::vector<std::pair<int, int>>{{50, 4}, {105, 3}, {205, 2}}) {
      file << "{\"version\":1,\"effective_step\":" << step << ",\"layers\":{\"" << matrix
           << "\":\"maxmin" << bits << "/512\",\"fc.bias\":\"raw\"}}\n";
    }
    file.close();
    Make(job, 0);
  }
};

TEST_F(RecordedPlansTest, AllPlansAreSentAtTheStartAndTheDecisionComesWithTheLast) {
  MakeRecorded("fc.weight");
  const auto out = JoinAll(2, 0);
  std::vector<std::pair<int64_t, int64_t>> seen;  // of rank 0: effective step, window
  for (const Outgoing& one : out) {
    if (one.to != 0 || !std::holds_alternative<proto::PolicyUpdate>(one.message)) continue;
    const auto& update = std::get<proto::PolicyUpdate>(one.message);
    seen.emplace_back(update.policy().effective_step(), update.window());
  }
  EXPECT_THAT(seen, testing::ElementsAre(std::pair(50, kNoDecision), std::pair(105, kNoDecision),
                                         std::pair(205, kInitialDecision)));
  EXPECT_EQ(observer_.policies.size(), 3u);
}

TEST_F(RecordedPlansTest, PlansOfAnotherModelEndTheJobAtItsStart) {
  MakeRecorded("conv.weight");
  JoinAll(2, 0);
  EXPECT_THAT(FailureCause(), HasSubstr("lacks the model's layer \"fc.weight\""));
  EXPECT_EQ(std::get<proto::Failure>(observer_.ends.front()).exit_code(), kExitConfig);
}

TEST_F(CoordinatorStateTest, PolicyNoneStaysRaw) {
  proto::JobConfig job = DefaultJob(2);
  job.mutable_compression()->set_policy("none");
  Make(job, 0);
  const auto out = JoinAll(2, 0);
  EXPECT_TRUE(observer_.policies.empty());
  int decisions = 0;  // workers are told that there is none
  for (const Outgoing& one : out) {
    if (!std::holds_alternative<proto::PolicyUpdate>(one.message)) continue;
    EXPECT_FALSE(std::get<proto::PolicyUpdate>(one.message).has_policy());
    ++decisions;
  }
  EXPECT_EQ(decisions, 2);
}

TEST_F(CoordinatorStateTest, AnotherProtocolIsRefusedWithBothVersions) {
  Make(2, 0);
  proto::Join join = JoinOf(proto::ROLE_WORKER, 0);
  join.set_protocol_version(kProtocolVersion + 1);
  EXPECT_THAT(Refusal(state_->OnJoin(0, join)),
              HasSubstr(absl::StrCat("protocol version ", kProtocolVersion + 1,
                                     ", the coordinator speaks ", kProtocolVersion)));
}

TEST_F(CoordinatorStateTest, AnotherJobIsRefusedWithBothIds) {
  Make(2, 0);
  proto::Join join = JoinOf(proto::ROLE_WORKER, 0);
  join.mutable_envelope()->set_job_id("beef");
  EXPECT_THAT(Refusal(state_->OnJoin(0, join)), HasSubstr("job 7f3a, not job beef"));
}

TEST_F(CoordinatorStateTest, AnotherDigestIsRefusedWithBothValues) {
  Make(2, 0);
  proto::Join join = JoinOf(proto::ROLE_WORKER, 0);
  join.set_job_digest(0x99);
  EXPECT_THAT(Refusal(state_->OnJoin(0, join)),
              testing::AllOf(HasSubstr("0000000000000099"), HasSubstr("0000000000001234")));
}

TEST_F(CoordinatorStateTest, AnotherModelIsRefusedNamingTheTensorAndBothShapes) {
  Make(2, 0);
  ASSERT_TRUE(state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0)).empty());
  proto::Join join = JoinOf(proto::ROLE_WORKER, 1);
  join.mutable_tensors(0)->set_shape(1, 32);
  EXPECT_THAT(Refusal(state_->OnJoin(1, join)),
              testing::AllOf(HasSubstr("\"fc.weight\" [64,32] here"),
                             HasSubstr("\"fc.weight\" [64,64] there")));
}

TEST_F(CoordinatorStateTest, AnotherModelFileIsRefusedWithBothDigests) {
  Make(2, 0);
  proto::Join join = JoinOf(proto::ROLE_WORKER, 0);
  join.set_model_file_digest(0x77);
  ASSERT_TRUE(state_->OnJoin(0, join).empty());
  join = JoinOf(proto::ROLE_WORKER, 1);
  join.set_model_file_digest(0x78);
  EXPECT_THAT(Refusal(state_->OnJoin(1, join)),
              testing::AllOf(HasSubstr("0000000000000078 here and 0000000000000077 there"),
                             HasSubstr("model.torchscript")));
}

TEST_F(CoordinatorStateTest, ATakenSlotIsRefused) {
  Make(2, 0);
  ASSERT_TRUE(state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0)).empty());
  proto::Join other = JoinOf(proto::ROLE_WORKER, 0);
  other.mutable_process()->set_pid(4711);
  EXPECT_THAT(Refusal(state_->OnJoin(1, other)),
              HasSubstr("slot taken by rank 0 (host node00, pid 100)"));
}

TEST_F(CoordinatorStateTest, ASlotOutsideTheWorldIsRefused) {
  Make(2, 0);
  EXPECT_THAT(Refusal(state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 2))), HasSubstr("slot 2 of 2"));
  EXPECT_THAT(Refusal(state_->OnJoin(1, JoinOf(proto::ROLE_PROFILER, 0))),
              HasSubstr("slot 0 of 0"));
}

TEST_F(CoordinatorStateTest, AStrangerMayNotJoinARunningJob) {
  Make(1, 0);
  JoinAll(1, 0);
  EXPECT_THAT(Refusal(state_->OnJoin(5, JoinOf(proto::ROLE_WORKER, 0))),
              HasSubstr("already started"));
  EXPECT_EQ(state_->phase(), CoordinatorState::Phase::kRunning);
}

TEST_F(CoordinatorStateTest, ALostProcessEndsTheJobForAllOthersByName) {
  Make(3, 1);
  JoinAll(3, 1);
  const auto out = state_->OnLost(1, "connection broke");
  EXPECT_EQ(Count<proto::Failure>(out), 3);
  EXPECT_THAT(FailureCause(), HasSubstr("rank 1 (host node01, pid 101) is gone: connection broke"));
  EXPECT_EQ(state_->exit_code(), 1);
}

TEST_F(CoordinatorStateTest, TheVictimsReportDoesNotHideTheCulprit) {
  Make(2, 0);
  JoinAll(2, 0);
  proto::Failure victim;
  *victim.mutable_envelope() = EnvelopeOf(1);
  victim.set_cause("step 3 bucket 0: peer gone");
  victim.set_secondary(true);
  EXPECT_TRUE(state_->OnFailureReport(0, victim).empty());
  now_ += absl::Seconds(1);
  EXPECT_TRUE(state_->OnTick().empty());
  state_->OnLost(1, "connection broke");
  EXPECT_THAT(FailureCause(), HasSubstr("rank 1"));
}

TEST_F(CoordinatorStateTest, ASecondaryFailureAloneBecomesTheCauseAfterTheGrace) {
  Make(2, 0);
  JoinAll(2, 0);
  proto::Failure victim;
  *victim.mutable_envelope() = EnvelopeOf(1);
  victim.set_cause("step 3 bucket 0: deadline");
  victim.set_secondary(true);
  state_->OnFailureReport(0, victim);
  now_ += CoordinatorState::kCauseGrace + absl::Milliseconds(1);
  EXPECT_EQ(Count<proto::Failure>(state_->OnTick()), 2);
  EXPECT_THAT(FailureCause(),
              HasSubstr("rank 0 (host node00, pid 100): step 3 bucket 0: deadline"));
}

TEST_F(CoordinatorStateTest, WhoWaitedToTheDeadlineKnowsMoreThanWhoSawItLeave) {
  Make(2, 0);
  JoinAll(2, 0);
  proto::Failure failure;
  *failure.mutable_envelope() = EnvelopeOf(1);
  failure.set_secondary(true);
  failure.set_cause("the peer is gone: it left");
  state_->OnFailureReport(1, failure);
  failure.set_cause("not over at the deadline");
  failure.set_waited(true);
  state_->OnFailureReport(0, failure);
  now_ += CoordinatorState::kCauseGrace + absl::Milliseconds(1);
  EXPECT_EQ(Count<proto::Failure>(state_->OnTick()), 2);
  EXPECT_THAT(FailureCause(),
              HasSubstr("rank 0 (host node00, pid 100): not over at the deadline"));
}

TEST_F(CoordinatorStateTest, AnOwnErrorEndsTheJobAtOnceWithItsExitCode) {
  Make(2, 0);
  JoinAll(2, 0);
  proto::Failure failure;
  *failure.mutable_envelope() = EnvelopeOf(1);
  failure.set_cause("loss is NaN");
  failure.set_exit_code(74);
  EXPECT_EQ(Count<proto::Failure>(state_->OnFailureReport(1, failure)), 2);
  EXPECT_EQ(state_->exit_code(), 74);
}

TEST_F(CoordinatorStateTest, StartTimeoutNamesWhoIsMissing) {
  Make(3, 1);
  state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 1));
  now_ += absl::Seconds(119);
  EXPECT_TRUE(state_->OnTick().empty());
  now_ += absl::Seconds(2);
  state_->OnTick();
  EXPECT_THAT(FailureCause(), HasSubstr("only 1 of 4 processes joined"));
  EXPECT_THAT(FailureCause(), HasSubstr("missing: rank 0, rank 2, profiler 0"));
  EXPECT_EQ(state_->exit_code(), 69);
}

TEST_F(CoordinatorStateTest, MessagesOfAnotherGenerationAreDroppedAndCounted) {
  Make(1, 0);
  JoinAll(1, 0);
  proto::StepReport stale = ReportOf(0, 0, 1);
  stale.mutable_envelope()->set_generation(0);
  state_->OnStepReport(0, stale);
  proto::StepReport foreign = ReportOf(0, 0, 1);
  foreign.mutable_envelope()->set_job_id("beef");
  state_->OnStepReport(0, foreign);
  EXPECT_EQ(state_->dropped(), 2);
  EXPECT_TRUE(observer_.steps.empty());
}

TEST_F(CoordinatorStateTest, DifferentChecksumsEndTheJob) {
  Make(2, 0);
  JoinAll(2, 0);
  for (int rank : {0, 1}) {
    proto::StepReport report = ReportOf(rank, 0, 1);
    report.mutable_steps(0)->set_parameter_checksum(rank);
    state_->OnStepReport(rank, report);
  }
  EXPECT_THAT(FailureCause(), HasSubstr("replicas differ after step 0"));
}

TEST_F(CoordinatorStateTest, WhenAllAreDoneEverybodyShutsDownAndTheResultIsSummed) {
  Make(2, 1);
  JoinAll(2, 1);
  for (int rank : {0, 1}) state_->OnStepReport(rank, ReportOf(rank, 0, 0.5));
  EXPECT_TRUE(state_->OnWorkerDone(0, Done(0)).empty());
  EXPECT_TRUE(state_->OnWorkerDone(0, Done(0)).empty());  // said twice, counted once
  EXPECT_EQ(Count<proto::Shutdown>(state_->OnWorkerDone(1, Done(1))), 3);
  const auto& result = std::get<JobResult>(observer_.ends.at(0));
  EXPECT_EQ(result.evaluation.predictions(), 20);
  EXPECT_DOUBLE_EQ(Accuracy(result.evaluation), 0.9);
  EXPECT_DOUBLE_EQ(MeanLoss(result.evaluation), 0.5);
  EXPECT_EQ(result.totals.steps, 1);
  EXPECT_EQ(state_->exit_code(), 0);
}

TEST_F(CoordinatorStateTest, LeavesWhenAllHaveLeftOrTheGraceIsOver) {
  Make(2, 0);
  JoinAll(2, 0);
  state_->OnStopRequest("stopped by SIGINT", 130, false);
  EXPECT_FALSE(state_->MayLeave());
  state_->OnLost(0, "exit");
  EXPECT_FALSE(state_->MayLeave());
  now_ += CoordinatorState::kLeaveGrace + absl::Milliseconds(1);
  EXPECT_TRUE(state_->MayLeave());
  EXPECT_EQ(observer_.ends.size(), 1u);
  EXPECT_EQ(state_->exit_code(), 130);
}

TEST_F(CoordinatorStateTest, AMeasuredWindowGivesAPlan) {
  Make(2, 1);
  JoinAll(2, 1);
  proto::Statistics statistics;
  *statistics.mutable_envelope() = EnvelopeOf(1);
  proto::WindowStatistics& window = *statistics.mutable_window();
  window.set_last_step(99);
  for (const char* name : {"fc.weight", "fc.bias"}) {
    proto::LayerStatistics& layer = *window.add_layers();
    layer.set_name(name);
    layer.set_eligible(std::string(name) == "fc.weight");
    layer.set_squared_norm(100);
    proto::OptionStatistics& raw = *layer.add_options();
    raw.set_wire_bytes(4000);
    if (!layer.eligible()) continue;
    for (int bits : {4, 2}) {  // 2 bits lose no more than 4 here: the better choice
      proto::OptionStatistics& option = *layer.add_options();
      option.mutable_codec()->set_kind(proto::CODEC_MAXMIN);
      option.mutable_codec()->set_bits(bits);
      option.mutable_codec()->set_bucket_size(512);
      option.set_squared_error(1);
      option.set_wire_bytes(100 * bits);
    }
  }
  const auto out = state_->OnStatistics(2, statistics);
  EXPECT_EQ(Count<proto::PolicyUpdate>(out), 2);
  ASSERT_EQ(observer_.policies.size(), 2u);
  EXPECT_EQ(observer_.policies[1].version(), 2u);
  EXPECT_EQ(observer_.policies[1].effective_step(), 105);
  EXPECT_EQ(observer_.policies[1].layers(0).codec().bits(), 2);

  statistics.mutable_window()->set_window(1);
  for (const Outgoing& one : state_->OnStatistics(2, statistics)) {
    EXPECT_FALSE(std::get<proto::PolicyUpdate>(one.message).has_policy()) << "nothing changed";
    EXPECT_EQ(std::get<proto::PolicyUpdate>(one.message).window(), 1);
  }
  EXPECT_EQ(observer_.policies.size(), 2u);
}

TEST_F(CoordinatorStateTest, AWindowIsDecidedWhenAllProfilersHaveSpoken) {
  Make(2, 2);
  JoinAll(2, 2);
  proto::Statistics statistics;
  *statistics.mutable_envelope() = EnvelopeOf(1);
  statistics.mutable_window()->set_last_step(99);
  EXPECT_TRUE(state_->OnStatistics(2, statistics).empty());
  EXPECT_EQ(Count<proto::PolicyUpdate>(state_->OnStatistics(3, statistics)), 2);
}

TEST_F(CoordinatorStateTest, ASlowProfilerDoesNotHoldADecisionUpForLong) {
  Make(2, 2);
  JoinAll(2, 2);
  proto::Statistics statistics;
  *statistics.mutable_envelope() = EnvelopeOf(1);
  statistics.mutable_window()->set_last_step(99);
  EXPECT_TRUE(state_->OnStatistics(2, statistics).empty());
  now_ += WindowGatherer::kPatience;
  EXPECT_EQ(Count<proto::PolicyUpdate>(state_->OnTick()), 2);
}

TEST_F(CoordinatorStateTest, AJobThatCannotFormEndsWithTheReason) {
  Make(2, 0);
  ASSERT_TRUE(state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0)).empty());
  proto::Join join = JoinOf(proto::ROLE_WORKER, 1);
  join.set_job_digest(0x99);
  EXPECT_EQ(Count<proto::Failure>(state_->OnJoin(1, join)), 1);
  EXPECT_THAT(FailureCause(), HasSubstr("rank 1 (host node01, pid 101) may not join"));
  EXPECT_EQ(state_->exit_code(), 78);
}

TEST_F(CoordinatorStateTest, AProcessThatFailsBeforeItJoinsIsTheCulprit) {
  Make(2, 0);
  ASSERT_TRUE(state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0)).empty());
  proto::Failure failure;
  failure.mutable_envelope()->set_job_id(kJobId);
  *failure.mutable_culprit() = JoinOf(proto::ROLE_WORKER, 1).process();
  failure.set_cause("no data in /data/rapid pid run");
  failure.set_exit_code(78);
  EXPECT_EQ(Count<proto::Failure>(state_->OnFailureReport(1, failure)), 1);
  EXPECT_THAT(FailureCause(), HasSubstr("rank 1 (host node01, pid 101): no data"));
  EXPECT_EQ(state_->exit_code(), 78);
}

TEST_F(CoordinatorStateTest, StepsBeforeADifferenceAreStillReported) {
  Make(2, 0);
  JoinAll(2, 0);
  for (int rank : {0, 1}) {
    proto::StepReport report = ReportOf(rank, 0, 1);
    *report.add_steps() = ReportOf(rank, 1, 1).steps(0);
    report.mutable_steps(1)->set_parameter_checksum(rank);
    state_->OnStepReport(rank, report);
  }
  ASSERT_EQ(observer_.steps.size(), 1u);
  EXPECT_EQ(observer_.steps[0].step, Step(0));
  EXPECT_THAT(FailureCause(), HasSubstr("replicas differ after step 1"));
}

// Whatever happens in whatever order: one end, never a second; after it nothing is started or published; a lost
// member is never written to.
class ElasticTest : public CoordinatorStateTest {
 protected:
  // Two workers and a profiler, running; one worker at the least.
  void SetUp() override {
    proto::JobConfig job = DefaultJob(2);
    job.mutable_world()->set_min_size(1);
    job.mutable_world()->set_max_size(3);
    Make(job, 1);
    JoinAll(2, 1);
  }
  proto::Held HeldAt(const std::vector<Outgoing>& out, int64_t begun) {
    proto::Held held;
    for (const Outgoing& one : out) {
      if (const auto* hold = std::get_if<proto::Hold>(&one.message)) {
        *held.mutable_envelope() = hold->envelope();
        held.set_serial(hold->serial());
      }
    }
    held.set_begun_step(begun);
    return held;
  }
};

TEST_F(ElasticTest, ABoundaryForNewcomersIsOneRegroup) {
  const std::vector<Outgoing> holds = state_->OnJoin(7, JoinOf(proto::ROLE_WORKER, 2));
  ASSERT_EQ(Count<proto::Hold>(holds), 2);
  state_->OnHeld(0, HeldAt(holds, 0));
  const std::vector<Outgoing> out = state_->OnHeld(1, HeldAt(holds, 0));
  EXPECT_EQ(Count<proto::Boundary>(out), 2);
  EXPECT_EQ(Count<proto::EndGeneration>(out), 1);  // the profiler's
  EXPECT_EQ(observer_.regroups, std::vector<std::string>{"others join"});
}

TEST_F(ElasticTest, AStopThatALossInterruptsIsAskedOfTheNextGeneration) {
  EXPECT_EQ(Count<proto::Hold>(state_->OnStopRequest("stopped by SIGTERM", 143, true)), 2);
  EXPECT_EQ(Count<proto::EndGeneration>(state_->OnLost(1, "killed")), 2);
  EXPECT_EQ(observer_.regroups.size(), 1u);
  state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0));
  const std::vector<Outgoing> out = state_->OnJoin(2, JoinOf(proto::ROLE_PROFILER, 0));
  ASSERT_EQ(Count<proto::StartGeneration>(out), 2);
  ASSERT_EQ(Count<proto::Hold>(out), 1);
  EXPECT_TRUE(std::holds_alternative<proto::Hold>(out.back().message));  // after the start
  const std::vector<Outgoing> boundary = state_->OnHeld(0, HeldAt(out, -1));
  ASSERT_EQ(Count<proto::Boundary>(boundary), 1);
  const auto& agreed = std::get<proto::Boundary>(boundary.front().message);
  EXPECT_TRUE(agreed.checkpoint());
  EXPECT_EQ(agreed.then(), proto::Boundary::THEN_LEAVE);
}

TEST_F(ElasticTest, AWorkerThatLeavesAloneIsShutDownAndTheOthersGoOn) {
  proto::Leave leave;
  *leave.mutable_envelope() = EnvelopeOf(1);
  leave.set_alone(true);
  leave.set_reason("its host is removed");
  const std::vector<Outgoing> holds = state_->OnLeave(1, leave);
  ASSERT_EQ(Count<proto::Hold>(holds), 2);
  state_->OnHeld(0, HeldAt(holds, 0));
  state_->OnHeld(1, HeldAt(holds, 0));
  const std::vector<Outgoing> left = state_->OnJoin(1, JoinOf(proto::ROLE_WORKER, 1));
  ASSERT_EQ(Count<proto::Shutdown>(left), 1);
  EXPECT_EQ(left.front().to, 1);
  state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0));
  EXPECT_EQ(Count<proto::StartGeneration>(state_->OnJoin(2, JoinOf(proto::ROLE_PROFILER, 0))), 2);
  EXPECT_TRUE(observer_.ends.empty());
}

TEST_F(ElasticTest, ASilentRankIsDroppedInLessThanFiveSeconds) {
  for (int tick = 0; tick < 49; ++tick) {
    now_ += absl::Milliseconds(100);
    for (int rank = 0; rank < 2; ++rank) {
      if (rank == 1 && tick > 0) continue;  // it was heard of once
      proto::Heartbeat beat;
      *beat.mutable_envelope() = EnvelopeOf(1);
      beat.set_rank(rank);
      beat.set_phase(proto::WORK_PHASE_COMPUTE);
      state_->OnHeartbeat(rank, beat);
    }
    state_->OnTick();
  }
  ASSERT_EQ(observer_.regroups.size(), 1u);
  EXPECT_THAT(observer_.regroups[0],
              testing::AllOf(HasSubstr("rank 1 (host node01, pid 101) is gone"),
                             HasSubstr("world.dead_after_seconds")));
}

TEST_F(ElasticTest, AStopBetweenGenerationsWaitsForTheNextOneButNoLongerThanTheGrace) {
  state_->OnLost(1, "killed");
  EXPECT_EQ(Count<proto::Failure>(state_->OnStopRequest("stopped by SIGTERM", 143, true)), 0);
  state_->OnJoin(0, JoinOf(proto::ROLE_WORKER, 0));
  EXPECT_EQ(Count<proto::Hold>(state_->OnJoin(2, JoinOf(proto::ROLE_PROFILER, 0))), 1);
  now_ += absl::Seconds(26);
  EXPECT_GT(Count<proto::Failure>(state_->OnTick()), 0);
  EXPECT_EQ(state_->exit_code(), 143);
}

TEST_F(CoordinatorStateTest, RandomSchedulesEndOnceAndNeverWriteToTheLost) {
  const uint32_t base = testing::UnitTest::GetInstance()->random_seed();
  for (uint32_t run = 0; run < 2000; ++run) {
    SCOPED_TRACE(testing::Message() << "seed " << base << " run " << run);
    std::mt19937 random(base * 7919 + run);
    now_ = absl::UnixEpoch();
    observer_ = RecordingObserver();
    const int workers = 1 + static_cast<int>(random() % 4);
    const int profilers = static_cast<int>(random() % 2);
    Make(workers, profilers);
    std::vector<bool> lost(workers + profilers);
    for (int event = 0; event < 60; ++event) {
      const int member = static_cast<int>(random() % lost.size());
      const bool ended = state_->phase() == CoordinatorState::Phase::kEnded;
      std::vector<Outgoing> out;
      if (!lost[member]) {
        const bool worker = member < workers;
        switch (random() % 9) {
          case 0:
          case 1:
          case 2:
            out = state_->OnJoin(member, JoinOf(worker ? proto::ROLE_WORKER : proto::ROLE_PROFILER,
                                                worker ? member : member - workers));
            break;
          case 3:
          case 4:
            out = state_->OnStepReport(member, ReportOf(member, random() % 3, 1));
            break;
          case 5:
            out = state_->OnWorkerDone(member, Done(member));
            break;
          case 6:
            if (random() % 4 == 0) {
              out = state_->OnLost(member, "lost");
              lost[member] = true;
            }
            break;
          case 7: {
            proto::Failure failure;
            *failure.mutable_envelope() = EnvelopeOf(1);
            failure.set_secondary(random() % 2 == 0);
            failure.set_cause("trouble");
            if (random() % 4 == 0) out = state_->OnFailureReport(member, failure);
            break;
          }
          case 8:
            now_ += absl::Seconds(random() % 30);
            out = state_->OnTick();
            break;
        }
      }
      for (const Outgoing& one : out) {
        EXPECT_FALSE(lost[one.to] && !std::holds_alternative<proto::JoinRefused>(one.message));
        if (ended) {
          EXPECT_TRUE(std::holds_alternative<proto::JoinRefused>(one.message));
        }
      }
      ASSERT_LE(observer_.ends.size(), 1u);
      ASSERT_EQ(observer_.ends.size() == 1, state_->phase() == CoordinatorState::Phase::kEnded);
    }
  }
}

class GenerationsTest : public CoordinatorStateTest {
 protected:
  void MakeElastic(int workers, int min_workers, int profilers) {
    proto::JobConfig job = DefaultJob(workers);
    job.mutable_world()->set_min_size(min_workers);
    Make(std::move(job), profilers);
  }
  proto::Join Again(int slot, int64_t completed, int64_t generation) {
    proto::Join join = JoinOf(proto::ROLE_WORKER, slot);
    join.mutable_envelope()->set_generation(generation);
    join.set_completed_steps(completed);
    return join;
  }
};

TEST_F(GenerationsTest, SurvivorsAreToldAndFormTheNextGeneration) {
  MakeElastic(3, 1, 0);
  JoinAll(3, 0);
  const auto ended = state_->OnLost(1, "killed");
  EXPECT_EQ(Count<proto::EndGeneration>(ended), 2);
  EXPECT_EQ(observer_.ends.size(), 0u);
  state_->OnJoin(0, Again(0, 1, 1));
  const auto out = state_->OnJoin(2, Again(2, 2, 1));
  ASSERT_EQ(Count<proto::StartGeneration>(out), 2);
  EXPECT_EQ(observer_.started->envelope().generation(), 2);
  EXPECT_EQ(observer_.started->world_size(), 2);
  EXPECT_EQ(observer_.started->start_step(), 2);
  EXPECT_EQ(observer_.started->source_rank(), 1);
  EXPECT_THAT(observer_.started->ranks_to_sync(), testing::ElementsAre(0));
}

TEST_F(GenerationsTest, StepsThatALostRankDidNotReportAreCompletedFromTheOthers) {
  MakeElastic(2, 1, 0);
  JoinAll(2, 0);
  state_->OnStepReport(0, ReportOf(0, 0, 0.25));
  EXPECT_TRUE(observer_.steps.empty());
  state_->OnLost(1, "killed");
  state_->OnJoin(0, Again(0, 1, 1));
  ASSERT_EQ(observer_.steps.size(), 1u);
  EXPECT_EQ(observer_.steps[0].missing_ranks, 1);
  EXPECT_DOUBLE_EQ(observer_.steps[0].loss,
                   0.5);  // half of the batch is known: the rest is taken to be alike
}

TEST_F(GenerationsTest, MessagesOfTheGenerationBeforeAreDropped) {
  MakeElastic(2, 1, 0);
  JoinAll(2, 0);
  state_->OnLost(1, "killed");
  state_->OnJoin(0, Again(0, 0, 1));
  EXPECT_TRUE(state_->OnStepReport(0, ReportOf(0, 0, 1)).empty());
  EXPECT_TRUE(observer_.steps.empty());
  EXPECT_EQ(state_->dropped(), 1);
}

TEST_F(GenerationsTest, ABrokenLinkRegroupsEverybodyAfterAGrace) {
  MakeElastic(2, 1, 0);
  JoinAll(2, 0);
  proto::Failure failure;
  *failure.mutable_envelope() = EnvelopeOf(1);
  failure.set_cause("receive failed");
  failure.set_secondary(true);
  EXPECT_TRUE(state_->OnFailureReport(0, failure).empty());
  now_ += CoordinatorState::kCauseGrace + absl::Seconds(1);
  EXPECT_EQ(Count<proto::EndGeneration>(state_->OnTick()), 2);
  EXPECT_TRUE(observer_.ends.empty());
}

TEST_F(GenerationsTest, AProcessThatMadeANewLineTakesThePlaceOfItsOldOne) {
  MakeElastic(2, 1, 0);
  JoinAll(2, 0);
  state_->OnJoin(0, Again(0, 0, 1));  // gives up by itself
  const auto out = state_->OnJoin(7, Again(1, 0, 1));
  EXPECT_EQ(Count<proto::StartGeneration>(out), 2);
  EXPECT_EQ(observer_.started->world_size(), 2);
}

TEST_F(CoordinatorStateTest, AnOrderlyStopAgreesOnAStepAndEndsWellOnceThereIsACheckpoint) {
  Make(2, 0);
  JoinAll(2, 0);
  const auto asked = state_->OnStopRequest("stopped by SIGTERM", kExitTerminated, true);
  ASSERT_EQ(Count<proto::Hold>(asked), 2);
  proto::Held held;
  *held.mutable_envelope() = EnvelopeOf(1);
  held.set_serial(std::get<proto::Hold>(asked[0].message).serial());
  held.set_begun_step(0);
  state_->OnHeld(0, held);
  const auto agreed = state_->OnHeld(1, held);
  ASSERT_EQ(Count<proto::Boundary>(agreed), 2);
  EXPECT_TRUE(std::get<proto::Boundary>(agreed[0].message).checkpoint());
  state_->OnStepReport(0, ReportOf(0, 0, 1));
  state_->OnStepReport(1, ReportOf(1, 0, 1));
  for (int rank = 0; rank < 2; ++rank) {
    proto::CheckpointPart part;
    *part.mutable_envelope() = EnvelopeOf(1);
    part.set_rank(rank);
    part.set_step(1);
    part.add_files()->set_name("file");
    EXPECT_EQ(Count<proto::CheckpointCommit>(state_->OnCheckpointPart(rank, part)), rank);
  }
  proto::CheckpointDone done;
  *done.mutable_envelope() = EnvelopeOf(1);
  done.set_step(1);
  done.set_path("ckpt/step_00000001");
  state_->OnCheckpointDone(0, done);
  state_->OnWorkerDone(0, Done(0));
  state_->OnWorkerDone(1, Done(1));
  ASSERT_EQ(observer_.ends.size(), 1u);
  const auto& result = std::get<JobResult>(observer_.ends[0]);
  EXPECT_EQ(result.stopped_by, "stopped by SIGTERM");
  EXPECT_EQ(result.checkpoint_path, "ckpt/step_00000001");
  EXPECT_EQ(state_->exit_code(), 0);
}

TEST_F(CoordinatorStateTest, AStopThatTakesLongerThanItsGraceEndsTheJob) {
  Make(2, 0);
  JoinAll(2, 0);
  state_->OnStopRequest("stopped by SIGTERM", kExitTerminated, true);
  now_ += absl::Seconds(26);
  EXPECT_EQ(Count<proto::Failure>(state_->OnTick()), 2);
  EXPECT_EQ(state_->exit_code(), kExitTerminated);
}

TEST_F(CoordinatorStateTest, ASignalToAWorkerStopsTheJobOnce) {
  Make(2, 0);
  JoinAll(2, 0);
  proto::Leave leave;
  *leave.mutable_envelope() = EnvelopeOf(1);
  *leave.mutable_process() = JoinOf(proto::ROLE_WORKER, 1).process();
  leave.set_reason("stopped by SIGTERM");
  leave.set_exit_code(kExitTerminated);
  EXPECT_EQ(Count<proto::Hold>(state_->OnLeave(1, leave)), 2);
  EXPECT_TRUE(state_->OnLeave(0, leave).empty());
  now_ += absl::Seconds(26);
  state_->OnTick();
  EXPECT_THAT(FailureCause(), HasSubstr("stopped by SIGTERM to rank 1 (host node01, pid 101)"));
  EXPECT_EQ(state_->exit_code(), kExitTerminated);
}

TEST_F(CoordinatorStateTest, NobodyLeavesAJobAloneThatIsNotElastic) {
  Make(2, 0);
  JoinAll(2, 0);
  proto::Leave leave;
  *leave.mutable_envelope() = EnvelopeOf(1);
  leave.set_alone(true);
  EXPECT_EQ(Count<proto::Hold>(state_->OnLeave(1, leave)), 2);
  now_ += absl::Seconds(26);
  EXPECT_EQ(Count<proto::Failure>(state_->OnTick()), 2);
}

TEST_F(CoordinatorStateTest, ASecondStopRequestEndsTheJobAtOnce) {
  Make(2, 0);
  JoinAll(2, 0);
  state_->OnStopRequest("stopped by SIGINT", kExitInterrupted, true);
  EXPECT_EQ(
      Count<proto::Failure>(state_->OnStopRequest("stopped by SIGINT", kExitInterrupted, true)), 2);
  EXPECT_EQ(state_->exit_code(), kExitInterrupted);
}

// Jobs with a program of their own: the model becomes known after the start.
class LateModelTest : public CoordinatorStateTest {
 protected:
  void Begin(int workers, int profilers, int min_workers = 0) {
    proto::JobConfig job = DefaultJob(workers);
    job.mutable_program()->add_command("./trainer");
    job.mutable_world()->set_min_size(min_workers);
    Make(std::move(job), profilers);
    for (int i = 0; i < workers; ++i) started_ = state_->OnJoin(i, Bare(proto::ROLE_WORKER, i));
    for (int i = 0; i < profilers; ++i) {
      started_ = state_->OnJoin(workers + i, Bare(proto::ROLE_PROFILER, i));
    }
  }
  static proto::Join Bare(proto::Role role, int slot) {
    proto::Join join = JoinOf(role, slot);
    join.clear_tensors();
    join.clear_phase_steps();
    return join;
  }
  static proto::Registration ModelOf(int rank, int64_t generation = 1) {
    proto::Registration model;
    *model.mutable_envelope() = EnvelopeOf(generation);
    model.set_rank(rank);
    *model.mutable_tensors() = JoinOf(proto::ROLE_WORKER, rank).tensors();
    model.set_transport_address("gradients " + std::to_string(rank));
    return model;
  }
  proto::WorkerDone DoneAfter(int rank, int64_t steps) {
    proto::WorkerDone done = Done(rank);
    done.set_steps(steps);
    return done;
  }

  std::vector<Outgoing> started_;
};

TEST_F(LateModelTest, AGenerationStartsWithoutOne) {
  Begin(2, 1);
  EXPECT_EQ(Count<proto::StartGeneration>(started_), 3);
  EXPECT_EQ(Count<proto::PolicyUpdate>(started_), 0);
  EXPECT_EQ(state_->phase(), CoordinatorState::Phase::kRunning);
  EXPECT_FALSE(observer_.started.has_value());
}

TEST_F(LateModelTest, WhenAllRanksHaveItEverybodyIsToldAndPlansArePublished) {
  Begin(2, 1);
  EXPECT_TRUE(state_->OnModel(0, ModelOf(0)).empty());
  const auto out = state_->OnModel(1, ModelOf(1));
  ASSERT_EQ(Count<proto::ModelReady>(out), 3);
  EXPECT_EQ(Count<proto::PolicyUpdate>(out), 2);
  const auto& start = std::get<proto::ModelReady>(out[1].message).start();
  EXPECT_EQ(start.rank(), 1);
  EXPECT_EQ(start.tensors_size(), 2);
  // Gradients move between other endpoints than collectives; the profiler has one.
  EXPECT_EQ(start.transport_addresses(0), "gradients 0");
  EXPECT_EQ(start.transport_addresses(2), "address 0");
  EXPECT_TRUE(observer_.started.has_value());
}

TEST_F(LateModelTest, AModelOfAnEarlierGenerationIsDropped) {
  Begin(2, 0);
  (void)state_->OnModel(0, ModelOf(0, 7));
  EXPECT_EQ(state_->dropped(), 1);
  EXPECT_TRUE(state_->OnModel(1, ModelOf(1)).empty());
}

TEST_F(LateModelTest, AProfilerThatIsLostBeforeIsNotConnectedTo) {
  Begin(2, 1, 1);
  (void)state_->OnLost(2, "killed");
  (void)state_->OnModel(0, ModelOf(0));
  const auto out = state_->OnModel(1, ModelOf(1));
  ASSERT_EQ(Count<proto::ModelReady>(out), 2);
  EXPECT_EQ(std::get<proto::ModelReady>(out[0].message).start().transport_addresses_size(), 2);
}

TEST_F(LateModelTest, AnotherModelInTheNextGenerationEndsTheJob) {
  Begin(2, 0, 1);
  (void)state_->OnModel(0, ModelOf(0));
  (void)state_->OnModel(1, ModelOf(1));
  (void)state_->OnLost(1, "killed");
  (void)state_->OnJoin(0, Bare(proto::ROLE_WORKER, 0));
  proto::Registration model = ModelOf(0, 2);
  model.mutable_tensors(0)->set_shape(0, 32);
  (void)state_->OnModel(0, model);
  EXPECT_THAT(FailureCause(), HasSubstr("another model than the one that the job began with"));
}

TEST_F(LateModelTest, ANewcomerIsTakenInOnceTheModelIsKnown) {
  Begin(2, 0, 1);
  EXPECT_TRUE(state_->OnJoin(5, Bare(proto::ROLE_WORKER, 2)).empty());
  (void)state_->OnModel(0, ModelOf(0));
  const auto out = state_->OnModel(1, ModelOf(1));
  EXPECT_EQ(Count<proto::ModelReady>(out), 2);
  EXPECT_EQ(Count<proto::Hold>(out), 2);
}

TEST_F(LateModelTest, WhatStartedAProgramCanAskThatItLeaves) {
  Begin(2, 0, 1);
  for (int rank = 0; rank < 2; ++rank) (void)state_->OnModel(rank, ModelOf(rank));
  proto::Leave leave;
  *leave.mutable_envelope() = EnvelopeOf(0);
  *leave.mutable_process() = JoinOf(proto::ROLE_WORKER, 1).process();
  leave.set_reason("asked to leave");
  leave.set_alone(true);
  EXPECT_EQ(Count<proto::Hold>(state_->OnLeave(7, leave)), 2);
}

TEST_F(LateModelTest, ProgramsThatNeverMakeAnOptimizerEndWell) {
  Begin(2, 0);
  EXPECT_TRUE(state_->OnWorkerDone(0, DoneAfter(0, 0)).empty());
  EXPECT_EQ(Count<proto::Shutdown>(state_->OnWorkerDone(1, DoneAfter(1, 0))), 2);
  EXPECT_EQ(state_->exit_code(), 0);
}

TEST_F(LateModelTest, WhoIsThroughNeedNotJoinAfterALoss) {
  Begin(3, 0, 1);
  for (int rank = 0; rank < 3; ++rank) (void)state_->OnModel(rank, ModelOf(rank));
  for (int rank = 0; rank < 2; ++rank) (void)state_->OnStepReport(rank, ReportOf(rank, 0, 1));
  (void)state_->OnWorkerDone(0, DoneAfter(0, 1));
  (void)state_->OnLost(2, "killed");
  // Its generation is over, and still this is the last word of it.
  const auto out = state_->OnWorkerDone(1, DoneAfter(1, 1));
  EXPECT_EQ(Count<proto::Shutdown>(out), 2);
  EXPECT_EQ(state_->exit_code(), 0);
}

}  // namespace
}  // namespace sluice
