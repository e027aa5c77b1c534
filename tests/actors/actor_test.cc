// The CAF shells on CAF's testing scheduler: one thread, virtual time, no network.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "actors/coordinator_actor.h"
#include "actors/member_actor.h"
#include "actors/recording_observer.h"
#include "caf/scheduler/test_coordinator.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

class TestConfig : public ActorConfig {
 public:
  TestConfig() { set("scheduler.policy", caf::atom("testing")); }
};

struct MemberLog {
  std::optional<proto::StartGeneration> start;
  std::vector<proto::PolicyUpdate> policies;
  std::vector<std::pair<std::string, int>> ends;
};

class ActorTest : public testing::Test {
 protected:
  ActorTest()
      : system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {}

  ~ActorTest() override {
    for (const MemberHandle& member : members_) {
      caf::anon_send_exit(member, caf::exit_reason::user_shutdown);
    }
    caf::anon_send_exit(coordinator_, caf::exit_reason::user_shutdown);
    scheduler_.run();
  }

  void StartCoordinator(int workers, int profilers) {
    CoordinatorState::Options options;
    options.job_id = kJobId;
    options.job_digest = kDigest;
    options.job = DefaultJob(workers);
    options.profilers = profilers;
    auto state = *CoordinatorState::Create(
        options,
        [this] {
          return absl::UnixEpoch() + absl::FromChrono(scheduler_.clock().now().time_since_epoch());
        },
        &observer_);
    coordinator_ = system_.spawn(
        CoordinatorActor, std::make_shared<std::unique_ptr<CoordinatorState>>(std::move(state)),
        [this] { return launcher_gone_; }, [this](int code) { exit_codes_.push_back(code); });
    scheduler_.run();
  }

  MemberHandle StartMember(MemberLog& log, const std::string& job_id = kJobId) {
    MemberEvents events;
    events.on_start = [&log](const proto::StartGeneration& start) { log.start = start; };
    events.on_policy = [&log](const proto::PolicyUpdate& update) {
      log.policies.push_back(update);
    };
    events.on_end = [&log](const std::string& cause, int code) {
      log.ends.push_back({cause, code});
    };
    proto::Envelope envelope;
    envelope.set_job_id(job_id);
    members_.push_back(system_.spawn(MemberActor, coordinator_, envelope, std::move(events)));
    return members_.back();
  }

  template <class Message>
  void Tell(const MemberHandle& member, Message message) {
    caf::anon_send(member, Pb<Message>{std::move(message)});
    scheduler_.run();
  }

  void Kill(const MemberHandle& member) {
    caf::anon_send_exit(member, caf::exit_reason::kill);
    scheduler_.run();
  }

  void Pass(std::chrono::milliseconds time) {
    for (auto step = std::chrono::milliseconds(0); step < time;
         step += std::chrono::milliseconds(100)) {
      scheduler_.advance_time(std::chrono::milliseconds(100));
      caf::anon_send(coordinator_, TickAtom::value);
      scheduler_.run();
    }
  }

  TestConfig config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  RecordingObserver observer_;
  CoordinatorHandle coordinator_;
  std::vector<MemberHandle> members_;
  std::vector<int> exit_codes_;
  std::optional<std::string> launcher_gone_;
};

TEST_F(ActorTest, MembersThatJoinAreStartedAndGetThePolicy) {
  StartCoordinator(2, 0);
  MemberLog log[2];
  for (int i : {0, 1}) Tell(StartMember(log[i]), JoinOf(proto::ROLE_WORKER, i));
  for (int i : {0, 1}) {
    ASSERT_TRUE(log[i].start.has_value());
    EXPECT_EQ(log[i].start->rank(), i);
    EXPECT_EQ(log[i].start->transport_addresses(1 - i), "address " + std::to_string(1 - i));
    EXPECT_EQ(log[i].policies.size(), 1u);
  }
}

TEST_F(ActorTest, AKilledMemberEndsTheOthersByName) {
  StartCoordinator(2, 0);
  MemberLog log[2];
  for (int i : {0, 1}) Tell(StartMember(log[i]), JoinOf(proto::ROLE_WORKER, i));
  Kill(members_[1]);
  ASSERT_EQ(log[0].ends.size(), 1u);
  EXPECT_THAT(log[0].ends[0].first, HasSubstr("rank 1 (host node01, pid 101) is gone"));
  EXPECT_EQ(log[0].ends[0].second, 1);
}

TEST_F(ActorTest, AMemberThatGoesWithTheLauncherIsNoCulprit) {
  StartCoordinator(2, 0);
  MemberLog log[2];
  for (int i : {0, 1}) Tell(StartMember(log[i]), JoinOf(proto::ROLE_WORKER, i));
  launcher_gone_ = "the launcher is gone";
  Kill(members_[1]);
  ASSERT_EQ(log[0].ends.size(), 1u);
  EXPECT_EQ(log[0].ends[0], std::make_pair(std::string("the launcher is gone"), 143));
}

TEST_F(ActorTest, AKilledCoordinatorEndsTheMembers) {
  StartCoordinator(1, 0);
  MemberLog log;
  Tell(StartMember(log), JoinOf(proto::ROLE_WORKER, 0));
  caf::anon_send_exit(coordinator_, caf::exit_reason::kill);
  scheduler_.run();
  ASSERT_EQ(log.ends.size(), 1u);
  EXPECT_THAT(log.ends[0].first, HasSubstr("coordinator (host "));
  EXPECT_NE(log.ends[0].second, 0);
}

TEST_F(ActorTest, AMemberOfAnotherJobIsTurnedAway) {
  StartCoordinator(1, 0);
  MemberLog log;
  Tell(StartMember(log, "beef"), JoinOf(proto::ROLE_WORKER, 0));
  ASSERT_EQ(log.ends.size(), 1u);
  EXPECT_EQ(log.ends[0].second, 78);
}

TEST_F(ActorTest, TheStartTimeoutEndsTheJob) {
  StartCoordinator(2, 0);
  MemberLog log;
  Tell(StartMember(log), JoinOf(proto::ROLE_WORKER, 0));
  Pass(std::chrono::seconds(121));
  ASSERT_EQ(log.ends.size(), 1u);
  EXPECT_THAT(log.ends[0].first, HasSubstr("missing: rank 1"));
  Kill(members_[0]);
  Pass(std::chrono::milliseconds(200));
  EXPECT_EQ(exit_codes_, std::vector<int>{69});
}

TEST_F(ActorTest, AFinishedJobShutsItsMembersDownWithCodeZero) {
  StartCoordinator(1, 0);
  MemberLog log;
  const MemberHandle member = StartMember(log);
  Tell(member, JoinOf(proto::ROLE_WORKER, 0));
  Tell(member, ReportOf(0, 0, 2.5));
  proto::WorkerDone done;
  done.set_steps(1);
  Tell(member, done);
  ASSERT_EQ(log.ends.size(), 1u);
  EXPECT_EQ(log.ends[0].second, 0);
  ASSERT_EQ(observer_.steps.size(), 1u);
  EXPECT_DOUBLE_EQ(observer_.steps[0].loss, 2.5);
  Pass(std::chrono::seconds(6));  // the member never leaves; the grace ends
  EXPECT_EQ(exit_codes_, std::vector<int>{0});
}

TEST_F(ActorTest, AStopRequestReachesEveryMember) {
  StartCoordinator(1, 0);
  MemberLog log;
  Tell(StartMember(log), JoinOf(proto::ROLE_WORKER, 0));
  caf::anon_send(coordinator_, StopAtom::value, std::string(kJobId),
                 std::string("stopped by SIGINT"), 130, false);
  caf::anon_send(coordinator_, StopAtom::value, std::string("beef"), std::string("a stranger"), 1,
                 false);
  scheduler_.run();
  ASSERT_EQ(log.ends.size(), 1u);
  EXPECT_EQ(log.ends[0], std::make_pair(std::string("stopped by SIGINT"), 130));
}

TEST_F(ActorTest, APolicyOfAnotherGenerationIsIgnored) {
  StartCoordinator(1, 0);
  MemberLog log;
  const MemberHandle member = StartMember(log);
  Tell(member, JoinOf(proto::ROLE_WORKER, 0));
  proto::PolicyUpdate stale;
  *stale.mutable_envelope() = EnvelopeOf(9);
  Tell(member, stale);
  for (const proto::PolicyUpdate& update : log.policies)
    EXPECT_EQ(update.envelope().generation(), 1);
}

}  // namespace
}  // namespace sluice
