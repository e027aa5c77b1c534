#include "actors/stall_detector.h"

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using State = Finding::State;
using Kind = Finding::Kind;

/// A cluster in lockstep: time passes in ticks of 100 ms, every rank sends a heartbeat a second and a report
/// per step. A test bends what single ranks do.
class Cluster : public testing::Test {
 protected:
  struct Worker {
    proto::WorkPhase phase = proto::WORK_PHASE_COMPUTE;
    int64_t step = 0;
    absl::Time since;
    int bucket = -1;
    std::vector<int> waiting_for;
    bool beats = true;
  };

  void Start(int world, StallDetector::Options options = {}) {
    proto::StartGeneration start;
    start.set_world_size(world);
    std::vector<TensorInfo> tensors = {{"fc.bias", 10}, {"fc.weight", 1000}, {"conv.weight", 500}};
    for (int r = 0; r < world; ++r) {
      start.add_processes()->set_host("node0" + std::to_string(r));
      start.mutable_processes(r)->set_pid(100 + r);
    }
    workers_.assign(static_cast<size_t>(world), Worker());
    for (Worker& worker : workers_) worker.since = now_;
    detector_.emplace(options);
    const BucketLayout layout = *BucketLayout::Create(tensors, 4000, world);
    detector_->OnStart(start, &layout, now_);
  }

  void Set(int rank, proto::WorkPhase phase, std::vector<int> waiting_for = {}, int bucket = -1) {
    Worker& worker = workers_[static_cast<size_t>(rank)];
    worker.phase = phase;
    worker.since = now_;
    worker.waiting_for = std::move(waiting_for);
    worker.bucket = bucket;
  }

  void Beat(int rank) {
    const Worker& worker = workers_[static_cast<size_t>(rank)];
    if (!worker.beats) return;
    proto::Heartbeat heartbeat;
    heartbeat.set_rank(rank);
    heartbeat.set_step(worker.step);
    heartbeat.set_phase(worker.phase);
    heartbeat.set_seconds_in_phase(absl::ToDoubleSeconds(now_ - worker.since));
    heartbeat.set_bucket(worker.bucket);
    heartbeat.mutable_waiting_for()->Assign(worker.waiting_for.begin(), worker.waiting_for.end());
    detector_->OnHeartbeat(heartbeat, now_);
  }

  /// Heartbeats of different ranks come at different moments of a second.
  void Pass(double seconds) {
    for (int tick = 0; tick < 10 * seconds; ++tick, ++ticks_) {
      now_ += absl::Milliseconds(100);
      for (int r = 0; r < static_cast<int>(workers_.size()); ++r) {
        if (ticks_ % 10 == r % 10) Beat(r);
      }
      for (Finding& finding : detector_->OnTick(now_)) findings_.push_back(std::move(finding));
    }
  }

  /// All ranks run steps of that length for some time, in which `exposed(rank)` of each is waiting.
  void Train(double seconds, double step_seconds, const std::function<double(int)>& exposed) {
    double due = 0;
    for (double passed = 0; passed < seconds; passed += 0.1) {
      for (due += 0.1; due >= step_seconds; due -= step_seconds) Step(step_seconds, exposed);
      Pass(0.1);
    }
  }

  void Step(double step_seconds, const std::function<double(int)>& exposed) {
    for (int r = 0; r < static_cast<int>(workers_.size()); ++r) {
      Worker& worker = workers_[static_cast<size_t>(r)];
      proto::StepReport report;
      report.set_rank(r);
      proto::StepRecord& record = *report.add_steps();
      record.set_step(worker.step++);
      record.set_step_seconds(step_seconds);
      record.set_exposed_seconds(exposed(r));
      detector_->OnStepReport(report);
      worker.since = now_;
      worker.phase = proto::WORK_PHASE_COMPUTE;
    }
  }

  void TrainEvenly(double seconds) {
    Train(seconds, 0.2, [](int) { return 0.02; });
  }

  std::string Texts() const {
    std::string texts;
    for (const Finding& finding : findings_) texts += finding.text + "\n";
    return texts;
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  int ticks_ = 0;
  std::vector<Worker> workers_;
  std::optional<StallDetector> detector_;
  std::vector<Finding> findings_;
};

TEST_F(Cluster, AnEvenClusterIsNoFinding) {
  Start(4);
  TrainEvenly(120);
  EXPECT_THAT(Texts(), "");
  EXPECT_EQ(detector_->stalls(), 0);
}

TEST_F(Cluster, AStoppedRankIsSilentWithinFiveSeconds) {
  Start(4);
  TrainEvenly(10);
  workers_[1].beats = false;
  for (int r : {0, 2, 3}) Set(r, proto::WORK_PHASE_REDUCE, {1}, 0);
  Pass(5);
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].id, "SL2102");
  EXPECT_EQ(findings_[0].kind, Kind::kSilent);
  EXPECT_EQ(findings_[0].rank, 1);
  EXPECT_EQ(findings_[0].waiting_ranks, 3);
  EXPECT_THAT(findings_[0].layers, testing::ElementsAre("fc.bias"));
  EXPECT_THAT(findings_[0].text,
              AllOf(HasSubstr("rank 1 (host node01, pid 101) is silent"), HasSubstr("compute"),
                    HasSubstr("3 ranks wait for it in bucket 0 (\"fc.bias\")")));
}

TEST_F(Cluster, ItIsToldAgainAfterGapsThatDoubleAndOnceWhenItIsOver) {
  Start(2);
  TrainEvenly(10);
  workers_[1].beats = false;
  Set(0, proto::WORK_PHASE_REDUCE, {1}, 0);
  Pass(60);  // at 3, 8, 18, 38
  ASSERT_EQ(findings_.size(), 4u) << Texts();
  workers_[1].beats = true;
  ++workers_[1].step;
  Set(1, proto::WORK_PHASE_COMPUTE);
  Set(0, proto::WORK_PHASE_COMPUTE);
  Pass(3);
  ASSERT_EQ(findings_.size(), 5u) << Texts();
  EXPECT_EQ(findings_[0].state, State::kFound);
  EXPECT_EQ(findings_[3].state, State::kGoesOn);
  EXPECT_EQ(findings_[4].state, State::kResolved);
  EXPECT_THAT(findings_[4].text, HasSubstr("is silent no more: resolved after 6"));
  EXPECT_EQ(detector_->stalls(), 1);
  EXPECT_GT(detector_->stalled(), absl::Seconds(55));
}

TEST_F(Cluster, ARankThatHangsInItsDataIsNamedAndNotThoseWhoWait) {
  Start(4);
  TrainEvenly(10);
  Set(2, proto::WORK_PHASE_DATA);
  for (int r : {0, 1, 3}) Set(r, proto::WORK_PHASE_REDUCE, {2}, 1);
  Pass(5.5);
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].kind, Kind::kStalled);
  EXPECT_EQ(findings_[0].rank, 2);
  EXPECT_THAT(findings_[0].text, AllOf(HasSubstr("SL2102 rank 2"), HasSubstr("in data of step")));
}

TEST_F(Cluster, ChainsOfWaitsLeadToTheirEnd) {
  Start(4);
  TrainEvenly(10);
  Set(0, proto::WORK_PHASE_REDUCE, {1}, 1);
  Set(1, proto::WORK_PHASE_REDUCE, {2}, 1);
  Set(2, proto::WORK_PHASE_REDUCE, {3, 0}, 1);
  Set(3, proto::WORK_PHASE_OPTIMIZER);
  Pass(5.5);
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].rank, 3);
  EXPECT_EQ(findings_[0].waiting_ranks, 3);
}

TEST_F(Cluster, WhenAllWaitForEachOtherItIsTheNetworkOfTheOneMostWaitFor) {
  Start(4);
  TrainEvenly(10);
  for (int r : {0, 1, 3}) Set(r, proto::WORK_PHASE_REDUCE, {2}, 0);
  Set(2, proto::WORK_PHASE_REDUCE, {0, 1, 3}, 0);
  Pass(5.5);
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].rank, 2);
  EXPECT_THAT(findings_[0].text, HasSubstr("nothing arrives from rank 2"));
}

TEST_F(Cluster, ASlowNetworkIsNoStallAsLongAsSomethingArrives) {
  Start(3);
  Train(20, 1.0, [](int) { return 0.8; });
  for (int i = 0; i < 30; ++i) {  // a step of a minute, a bucket every two seconds
    for (int r : {0, 1, 2}) Set(r, proto::WORK_PHASE_REDUCE, {(r + 1) % 3}, i);
    for (Worker& worker : workers_) worker.since -= absl::Seconds(2 * i);
    Pass(2);
  }
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, WaitingForTheCoordinatorIsNobodysFault) {
  Start(3);
  TrainEvenly(10);
  for (int r : {0, 1, 2}) Set(r, proto::WORK_PHASE_DECISION);
  Pass(60);
  EXPECT_THAT(Texts(), "");
  Set(0, proto::WORK_PHASE_REDUCE, {1, 2}, 0);  // it got its answer
  Pass(60);
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, LongEvaluationsAndCheckpointsAreNoStalls) {
  Start(3);
  TrainEvenly(10);
  for (int r : {0, 1, 2}) Set(r, proto::WORK_PHASE_EVALUATION);
  Pass(300);
  for (int r : {0, 1}) Set(r, proto::WORK_PHASE_REDUCE, {2}, 0);
  Set(2, proto::WORK_PHASE_CHECKPOINT);
  Pass(60);
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, ACheckpointHasALimitAllTheSame) {
  Start(2);
  TrainEvenly(10);
  Set(0, proto::WORK_PHASE_CHECKPOINT);
  Set(1, proto::WORK_PHASE_REDUCE, {0}, 0);
  Pass(125);
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].rank, 0);
}

TEST_F(Cluster, TheFirstStepMayBeLong) {
  Start(2);
  for (int r : {0, 1}) Set(r, proto::WORK_PHASE_COMPUTE);
  Pass(25);
  EXPECT_THAT(Texts(), "");
  Pass(10);
  EXPECT_EQ(findings_.size(), 2u) << Texts();
}

TEST_F(Cluster, TheLimitIsThreeMedianStepsWhereThatIsLonger) {
  Start(2);
  Train(60, 4.0, [](int) { return 0.1; });
  Set(1, proto::WORK_PHASE_COMPUTE);
  Pass(11);
  EXPECT_THAT(Texts(), "");
  Pass(2);
  EXPECT_EQ(findings_.size(), 2u) << Texts();
}

TEST_F(Cluster, AShutdownIsAskedForOnce) {
  Start(2, {absl::Seconds(5), absl::Seconds(20), absl::ZeroDuration()});
  TrainEvenly(10);
  Set(1, proto::WORK_PHASE_DATA);
  Set(0, proto::WORK_PHASE_REDUCE, {1}, 0);
  Pass(40);
  int shutdowns = 0;
  for (const Finding& finding : findings_) {
    shutdowns += finding.shutdown ? 1 : 0;
    if (finding.shutdown) {
      EXPECT_EQ(finding.rank, 1);
      EXPECT_GE(finding.lasted, absl::Seconds(20));
      EXPECT_LT(finding.lasted, absl::Seconds(21));
    }
  }
  EXPECT_EQ(shutdowns, 1) << Texts();
}

TEST_F(Cluster, ASilentRankIsToGoOnceItIsDeadAndAStalledOneIsNot) {
  StallDetector::Options options;
  options.dead_after = absl::Seconds(4.5);
  Start(3, options);
  TrainEvenly(10);
  Set(2, proto::WORK_PHASE_DATA);
  Set(0, proto::WORK_PHASE_REDUCE, {1, 2}, 0);
  workers_[1].beats = false;
  const absl::Time last = now_;
  Pass(20);
  std::vector<int> gone;
  for (const Finding& finding : findings_) {
    if (!finding.shutdown) continue;
    gone.push_back(finding.rank);
    EXPECT_LE(finding.lasted, absl::Seconds(4.6));
    EXPECT_THAT(finding.text, HasSubstr("longer than world.dead_after_seconds"));
  }
  EXPECT_THAT(gone, testing::ElementsAre(1)) << last;
}

TEST_F(Cluster, ARankThatIsThroughOwesNothing) {
  Start(2);
  TrainEvenly(10);
  detector_->OnDone(1);
  workers_[1].beats = false;
  for (int i = 0; i < 60; ++i) {
    ++workers_[0].step;
    workers_[0].since = now_;
    Pass(1);
  }
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, APauseOfTheCoordinatorIsNotBlamedOnTheRanks) {
  Start(3);
  TrainEvenly(10);
  now_ += absl::Seconds(30);
  Pass(0.1);
  EXPECT_THAT(Texts(), "");
  TrainEvenly(20);
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, ASlowRankIsNamedWithinFiveSecondsAndUntilItIsBetter) {
  Start(4);
  TrainEvenly(20);
  // Rank 3 comes 100 ms later than the others, who wait that much longer.
  Train(5, 0.3, [](int r) { return r == 3 ? 0.02 : 0.12; });
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].id, "SL2101");
  EXPECT_EQ(findings_[0].kind, Kind::kSlow);
  EXPECT_EQ(findings_[0].rank, 3);
  EXPECT_GT(findings_[0].share, 0.2);
  EXPECT_THAT(findings_[0].text,
              AllOf(HasSubstr("rank 3 (host node03, pid 103) is slow"), HasSubstr("in compute")));
  TrainEvenly(10);
  ASSERT_EQ(findings_.size(), 2u) << Texts();
  EXPECT_EQ(findings_[1].state, State::kResolved);
  const std::vector<RankLag> lags = detector_->lags();
  EXPECT_GT(lags[3].lag_seconds, 10 * std::max(0.0, lags[0].lag_seconds));
  EXPECT_GT(lags[3].last_in_steps, 10);
  EXPECT_EQ(detector_->stalls(), 0);
}

TEST_F(Cluster, OfLongStepsThreeAreEnough) {
  Start(3);
  Train(16, 5.0, [](int r) { return r == 1 ? 0.1 : 2.1; });
  ASSERT_EQ(findings_.size(), 1u) << Texts();
  EXPECT_EQ(findings_[0].rank, 1);
}

TEST_F(Cluster, ALagBelowAFifthOfTheStepIsNoFinding) {
  Start(4);
  Train(60, 0.3, [](int r) { return r == 3 ? 0.02 : 0.07; });
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, RanksThatAreLastByTurnsAreNotSlow) {
  Start(2);
  int step = 0;
  Train(60, 0.1, [&](int r) { return (step++ / 2 + r) % 2 == 0 ? 0.0 : 0.06; });
  EXPECT_THAT(Texts(), "");
}

TEST_F(Cluster, MessagesThatMakeNoSenseDoNoHarm) {
  Start(2);
  TrainEvenly(10);
  proto::Heartbeat heartbeat;
  for (int rank : {-1, 2, 1 << 30}) {
    heartbeat.set_rank(rank);
    detector_->OnHeartbeat(heartbeat, now_);
    proto::StepReport report;
    report.set_rank(rank);
    report.add_steps()->set_step(-7);
    detector_->OnStepReport(report);
    detector_->OnDone(rank);
  }
  heartbeat.set_rank(0);
  heartbeat.set_phase(static_cast<proto::WorkPhase>(99));
  heartbeat.set_seconds_in_phase(-1e300);
  heartbeat.add_waiting_for(77);
  heartbeat.add_waiting_for(-5);
  detector_->OnHeartbeat(heartbeat, now_);
  heartbeat.set_phase(proto::WORK_PHASE_REDUCE);
  detector_->OnHeartbeat(heartbeat, now_);
  (void)detector_->OnTick(now_ + absl::Seconds(1));
}

}  // namespace
}  // namespace sluice
