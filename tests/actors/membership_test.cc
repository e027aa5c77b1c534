#include "actors/membership.h"

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "base/exit_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Orders = Membership::Orders;

constexpr int64_t kTotalSteps = 100;

template <class T>
const T* Find(const Orders& orders) {
  for (const auto& order : orders) {
    if (const T* found = std::get_if<T>(&order)) return found;
  }
  return nullptr;
}

proto::ProcessInfo Process(proto::Role role, int slot, int pid) {
  proto::ProcessInfo process;
  process.set_role(role);
  process.set_slot(slot);
  process.set_host("node" + std::to_string(slot));
  process.set_pid(pid);
  return process;
}

class MembershipTest : public testing::Test {
 protected:
  void Make(int workers, int min_workers, int max_workers = 0, int profilers = 0) {
    options_.workers = workers;
    options_.min_workers = min_workers;
    options_.max_workers = max_workers;
    options_.profilers = profilers;
    membership_.emplace(options_, now_);
    membership_->SetTotalSteps(kTotalSteps);
  }
  Orders Join(int id, int slot, int64_t completed = 0, proto::Role role = proto::ROLE_WORKER) {
    return membership_->OnJoin(id, Process(role, slot, 100 + id), completed, now_);
  }
  // Workers are members 0, 1, ...
  Orders JoinAll(int workers) {
    Orders orders;
    for (int i = 0; i < workers; ++i) orders = Join(i, i);
    return orders;
  }

  absl::Time now_ = absl::UnixEpoch();
  Membership::Options options_;
  std::optional<Membership> membership_;
};

TEST_F(MembershipTest, TheFirstGenerationStartsWhenAllAreThereAndRanksFollowSlots) {
  Make(2, 1, 0, 1);
  EXPECT_TRUE(Join(7, 1).empty());
  EXPECT_TRUE(Join(8, 0, 0, proto::ROLE_PROFILER).empty());
  const Orders orders = Join(9, 0);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_THAT(start->workers, ElementsAre(9, 7));
  EXPECT_THAT(start->profilers, ElementsAre(8));
  EXPECT_EQ(start->generation, 1);
  EXPECT_TRUE(start->ranks_to_sync.empty());
}

TEST_F(MembershipTest, AResumedProcessIsTheSourceOfAllOthers) {
  Make(3, 0);
  Join(0, 0);
  Join(1, 1, 40);
  const Orders orders = Join(2, 2);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_EQ(start->start_step, 40);
  EXPECT_EQ(start->source_rank, 1);
  EXPECT_THAT(start->ranks_to_sync, ElementsAre(0, 2));
}

TEST_F(MembershipTest, ALossEndsAJobThatIsNotElastic) {
  Make(2, 0);
  JoinAll(2);
  const Orders orders = membership_->OnLost(1, "killed", now_);
  const auto* fail = Find<Membership::Fail>(orders);
  ASSERT_NE(fail, nullptr);
  EXPECT_EQ(fail->culprit.slot(), 1);
  EXPECT_EQ(fail->exit_code, kExitTraining);
}

TEST_F(MembershipTest, AfterALossTheSurvivorsGoOnFromTheMostAdvancedStep) {
  Make(3, 2);
  JoinAll(3);
  const Orders lost = membership_->OnLost(0, "killed", now_);
  const auto* end = Find<Membership::End>(lost);
  ASSERT_NE(end, nullptr);
  EXPECT_THAT(end->members, ElementsAre(1, 2));
  EXPECT_THAT(end->reason, HasSubstr("rank 0 (host node0, pid 100) is gone: killed"));
  EXPECT_TRUE(Join(1, 1, 10).empty());
  const Orders orders = Join(2, 2, 11);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_EQ(start->generation, 2);
  EXPECT_THAT(start->workers, ElementsAre(1, 2));
  EXPECT_EQ(start->start_step, 11);
  EXPECT_EQ(start->source_rank, 1);
  EXPECT_THAT(start->ranks_to_sync, ElementsAre(0));
}

TEST_F(MembershipTest, BelowTheMinimumItWaitsUntilTheTimeout) {
  Make(2, 2);
  JoinAll(2);
  membership_->OnLost(1, "killed", now_);
  EXPECT_EQ(membership_->TakeWaiting(now_), "");  // on its way
  EXPECT_TRUE(Join(0, 0, 5).empty());
  EXPECT_EQ(membership_->TakeWaiting(now_),
            "SL1050 1 of at least 2 workers are left: waiting for 1 more, for 10m at most");
  EXPECT_EQ(membership_->TakeWaiting(now_), "");
  now_ += options_.elastic_timeout - absl::Seconds(1);
  EXPECT_TRUE(membership_->OnTick(now_).empty());
  now_ += absl::Seconds(2);
  const Orders orders = membership_->OnTick(now_);
  const auto* fail = Find<Membership::Fail>(orders);
  ASSERT_NE(fail, nullptr);
  EXPECT_EQ(fail->exit_code, kExitRetry);
  EXPECT_THAT(fail->cause, HasSubstr("1 of at least 2 workers"));
}

TEST_F(MembershipTest, ANewcomerIsTakenInAtABoundaryThatNoRankHasPassed) {
  Make(2, 1);
  JoinAll(2);
  const Orders hold = Join(5, 2);
  ASSERT_NE(Find<Membership::Hold>(hold), nullptr);
  const int64_t serial = Find<Membership::Hold>(hold)->serial;
  EXPECT_TRUE(membership_->OnHeld(0, serial, 17, now_).empty());
  const Orders orders = membership_->OnHeld(1, serial, 16, now_);
  const auto* boundary = Find<Membership::Boundary>(orders);
  ASSERT_NE(boundary, nullptr);
  EXPECT_EQ(boundary->before_step, 18);
  EXPECT_EQ(boundary->then, proto::Boundary::THEN_REGROUP);
  EXPECT_TRUE(Join(0, 0, 18).empty());
  const Orders started = Join(1, 1, 18);
  const auto* start = Find<Membership::Start>(started);
  ASSERT_NE(start, nullptr);
  EXPECT_THAT(start->workers, ElementsAre(0, 1, 5));
  EXPECT_THAT(start->ranks_to_sync, ElementsAre(2));
}

TEST_F(MembershipTest, WhoWantsInOrOutWaitsUntilTheModelIsKnown) {
  options_.late_model = true;
  Make(2, 1);
  JoinAll(2);
  EXPECT_TRUE(Join(5, 2).empty());
  EXPECT_TRUE(membership_->OnLeave(1, "its host is removed", now_).empty());
  const Orders known = membership_->OnModel();
  const auto* hold = Find<Membership::Hold>(known);
  ASSERT_NE(hold, nullptr);
  membership_->OnHeld(0, hold->serial, -1, now_);
  const Orders orders = membership_->OnHeld(1, hold->serial, -1, now_);
  const auto* boundary = Find<Membership::Boundary>(orders);
  ASSERT_NE(boundary, nullptr);
  EXPECT_THAT(boundary->reason, HasSubstr("leaves, others join"));
  Join(0, 0);
  const Orders next = Join(1, 1);
  ASSERT_NE(Find<Membership::Start>(next), nullptr);
  EXPECT_TRUE(Join(6, 3).empty());  // the next generation has no model either
}

TEST_F(MembershipTest, WithoutAModelAStopAndALossAreSeenToAllTheSame) {
  options_.late_model = true;
  Make(2, 1);
  JoinAll(2);
  EXPECT_NE(
      Find<Membership::Hold>(membership_->Request(true, proto::Boundary::THEN_LEAVE, "SIGTERM")),
      nullptr);
  const Orders lost = membership_->OnLost(1, "killed", now_);
  EXPECT_NE(Find<Membership::End>(lost), nullptr);
}

TEST_F(MembershipTest, OnTheWayToABoundaryRanksMayTakeTheirTime) {
  Make(2, 1);
  JoinAll(2);
  const Orders hold = Join(5, 2);
  const int64_t serial = Find<Membership::Hold>(hold)->serial;
  membership_->OnHeld(0, serial, 3, now_);
  ASSERT_NE(Find<Membership::Boundary>(membership_->OnHeld(1, serial, 3, now_)), nullptr);
  now_ += options_.rejoin_timeout + absl::Seconds(30);  // a long evaluation
  EXPECT_TRUE(membership_->OnTick(now_).empty());
  EXPECT_TRUE(Join(0, 0, 4).empty());
  now_ += options_.rejoin_timeout - absl::Seconds(1);
  EXPECT_TRUE(membership_->OnTick(now_).empty());
  now_ += absl::Seconds(2);
  const Orders orders = membership_->OnTick(now_);
  const auto* dismissed = Find<Membership::Dismiss>(orders);
  ASSERT_NE(dismissed, nullptr);
  EXPECT_EQ(dismissed->member, 1);
}

TEST_F(MembershipTest, NobodyIsTakenInAfterTheLastStep) {
  Make(2, 1);
  JoinAll(2);
  const Orders hold = Join(5, 2);
  const int64_t serial = Find<Membership::Hold>(hold)->serial;
  membership_->OnHeld(0, serial, kTotalSteps, now_);
  const Orders orders = membership_->OnHeld(1, serial, kTotalSteps - 1, now_);
  const auto* boundary = Find<Membership::Boundary>(orders);
  ASSERT_NE(boundary, nullptr);
  EXPECT_EQ(boundary->then, proto::Boundary::THEN_CONTINUE);
  EXPECT_EQ(membership_->phase(), Membership::Phase::kRunning);
}

TEST_F(MembershipTest, MoreThanTheMaximumStaySpareUntilThereIsRoom) {
  Make(2, 1, 2);
  JoinAll(2);
  EXPECT_TRUE(Join(5, 2).empty());
  membership_->OnLost(0, "killed", now_);
  const Orders orders = Join(1, 1, 8);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_THAT(start->workers, ElementsAre(1, 5));
}

TEST_F(MembershipTest, WhoDoesNotJoinAgainIsDismissed) {
  Make(3, 1);
  JoinAll(3);
  membership_->OnLost(0, "killed", now_);
  Join(1, 1, 8);
  now_ += options_.rejoin_timeout + absl::Seconds(1);
  const Orders orders = membership_->OnTick(now_);
  const auto* dismissed = Find<Membership::Dismiss>(orders);
  ASSERT_NE(dismissed, nullptr);
  EXPECT_EQ(dismissed->member, 2);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_THAT(start->workers, ElementsAre(1));
}

TEST_F(MembershipTest, TheResetLimitEndsTheJob) {
  options_.reset_limit = 1;
  Make(3, 1);
  JoinAll(3);
  membership_->OnLost(0, "killed", now_);
  Join(1, 1, 3);
  Join(2, 2, 3);
  const Orders orders = membership_->OnLost(1, "killed", now_);
  const auto* fail = Find<Membership::Fail>(orders);
  ASSERT_NE(fail, nullptr);
  EXPECT_EQ(fail->exit_code, kExitRetry);
  EXPECT_THAT(fail->cause, HasSubstr("the limit is 1"));
}

TEST_F(MembershipTest, AStepThatNobodyPassesEndsTheJob) {
  Make(2, 1);
  JoinAll(2);
  Orders orders;
  for (int i = 0; i < 12 && Find<Membership::Fail>(orders) == nullptr; ++i) {
    membership_->OnTrouble("a link broke", now_);
    Join(0, 0, 5);
    orders = Join(1, 1, 5);
  }
  const auto* fail = Find<Membership::Fail>(orders);
  ASSERT_NE(fail, nullptr);
  EXPECT_THAT(fail->cause, HasSubstr("step 5 cannot be passed"));
  EXPECT_THAT(fail->cause, HasSubstr("because a link broke"));
}

TEST_F(MembershipTest, WithoutAnyHolderOfTheStateThereIsNothingToGoOnFrom) {
  Make(2, 1);
  JoinAll(2);
  membership_->OnTrouble("a link broke", now_);
  Join(0, 0, 20);
  Join(1, 1, 20);
  membership_->OnLost(0, "killed", now_);
  membership_->OnLost(1, "killed", now_);
  const Orders orders = Join(2, 0);
  const auto* fail = Find<Membership::Fail>(orders);
  ASSERT_NE(fail, nullptr);
  EXPECT_THAT(fail->cause, HasSubstr("no process of generation 2 is left"));
}

TEST_F(MembershipTest, ALostProfilerHoldsNobodyUp) {
  Make(2, 1, 0, 1);
  JoinAll(2);
  Join(9, 0, 0, proto::ROLE_PROFILER);
  const Orders orders = membership_->OnLost(9, "killed", now_);
  const auto* lost = Find<Membership::ProfilerLost>(orders);
  ASSERT_NE(lost, nullptr);
  EXPECT_EQ(lost->left, 0);
  EXPECT_EQ(membership_->phase(), Membership::Phase::kRunning);
}

TEST_F(MembershipTest, OneOfSeveralProfilersIsLostByItself) {
  Make(2, 1, 0, 3);
  JoinAll(2);
  for (int slot = 0; slot < 3; ++slot) Join(7 + slot, slot, 0, proto::ROLE_PROFILER);
  const Orders orders = membership_->OnLost(8, "killed", now_);
  const auto* lost = Find<Membership::ProfilerLost>(orders);
  ASSERT_NE(lost, nullptr);
  EXPECT_EQ(lost->member, 8);
  EXPECT_EQ(lost->left, 2);
}

TEST_F(MembershipTest, ARequestedCheckpointIsAgreedLikeABoundary) {
  Make(2, 0);
  JoinAll(2);
  const Orders hold = membership_->Request(true, proto::Boundary::THEN_LEAVE, "SIGTERM");
  const int64_t serial = Find<Membership::Hold>(hold)->serial;
  membership_->OnHeld(0, serial, 3, now_);
  const Orders orders = membership_->OnHeld(1, serial, 3, now_);
  const auto* boundary = Find<Membership::Boundary>(orders);
  ASSERT_NE(boundary, nullptr);
  EXPECT_TRUE(boundary->checkpoint);
  EXPECT_EQ(boundary->then, proto::Boundary::THEN_LEAVE);
  EXPECT_EQ(boundary->before_step, 4);
}

TEST_F(MembershipTest, ANewCoordinatorGoesOnWithTheMembersThatAreThere) {
  options_.recovering = true;
  Make(3, 1);
  membership_->Recover(4);
  EXPECT_TRUE(Join(0, 0, 70).empty());
  EXPECT_TRUE(Join(2, 2, 71).empty());
  now_ += options_.recover_timeout + absl::Seconds(1);
  const Orders orders = membership_->OnTick(now_);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_EQ(start->generation, 5);
  EXPECT_EQ(start->start_step, 71);
  EXPECT_EQ(start->source_rank, 1);
  EXPECT_THAT(start->ranks_to_sync, ElementsAre(0));
}

TEST_F(MembershipTest, AWorkerThatWantsToLeaveIsLetGoAtABoundaryAndTheOthersGoOn) {
  Make(3, 1);
  JoinAll(3);
  const Orders hold = membership_->OnLeave(1, "its host is removed", now_);
  ASSERT_NE(Find<Membership::Hold>(hold), nullptr);
  const int64_t serial = Find<Membership::Hold>(hold)->serial;
  for (int id : {0, 1}) EXPECT_TRUE(membership_->OnHeld(id, serial, 7, now_).empty());
  const Orders agreed = membership_->OnHeld(2, serial, 7, now_);
  ASSERT_NE(Find<Membership::Boundary>(agreed), nullptr);
  EXPECT_THAT(Find<Membership::Boundary>(agreed)->reason,
              HasSubstr("rank 1 (host node1, pid 101) leaves"));
  const Orders left = Join(1, 1, 8);
  const auto* dismissed = Find<Membership::Dismiss>(left);
  ASSERT_NE(dismissed, nullptr);
  EXPECT_EQ(dismissed->member, 1);
  EXPECT_TRUE(dismissed->asked);
  EXPECT_TRUE(Join(0, 0, 8).empty());
  const Orders orders = Join(2, 2, 8);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_THAT(start->workers, ElementsAre(0, 2));
  EXPECT_EQ(start->start_step, 8);
  EXPECT_EQ(membership_->resets(), 0);
}

TEST_F(MembershipTest, TheLastHolderOfTheStateStaysUntilAnotherRankHasIt) {
  Make(1, 1);
  JoinAll(1);
  EXPECT_TRUE(membership_->OnLeave(0, "its host is removed", now_).empty());
  const Orders hold = Join(1, 1);
  ASSERT_NE(Find<Membership::Hold>(hold), nullptr);
  const Orders agreed = membership_->OnHeld(0, Find<Membership::Hold>(hold)->serial, 4, now_);
  EXPECT_EQ(Find<Membership::Boundary>(agreed)->reason, "others join");
  const Orders both = Join(0, 0, 5);
  ASSERT_NE(Find<Membership::Start>(both), nullptr);
  EXPECT_THAT(Find<Membership::Start>(both)->workers, ElementsAre(0, 1));
  // Now the other one has it.
  const auto* again = Find<Membership::Hold>(both);
  ASSERT_NE(again, nullptr);
  membership_->OnHeld(0, again->serial, 5, now_);
  EXPECT_NE(Find<Membership::Boundary>(membership_->OnHeld(1, again->serial, 5, now_)), nullptr);
  EXPECT_TRUE(Join(1, 1, 6).empty());
  const Orders orders = Join(0, 0, 6);
  EXPECT_NE(Find<Membership::Dismiss>(orders), nullptr);
  ASSERT_NE(Find<Membership::Start>(orders), nullptr);
  EXPECT_THAT(Find<Membership::Start>(orders)->workers, ElementsAre(1));
}

TEST_F(MembershipTest, AtTheMaximumNewcomersTakeThePlaceOfThoseThatLeave) {
  Make(2, 1, 2);
  JoinAll(2);
  Orders orders = membership_->OnLeave(0, "their host is removed", now_);
  const auto* hold = Find<Membership::Hold>(orders);
  ASSERT_NE(hold, nullptr);
  const int64_t serial = hold->serial;
  membership_->OnLeave(1, "their host is removed", now_);
  Join(5, 2);
  Join(6, 3);
  for (int id : {0, 1}) membership_->OnHeld(id, serial, 3, now_);
  Join(0, 0, 4);
  orders = Join(1, 1, 4);
  const auto* start = Find<Membership::Start>(orders);
  ASSERT_NE(start, nullptr);
  EXPECT_THAT(start->workers, ElementsAre(0, 5));  // one must hold the state
  const auto* dismissed = Find<Membership::Dismiss>(orders);
  ASSERT_NE(dismissed, nullptr);
  EXPECT_EQ(dismissed->member, 1);
  EXPECT_NE(Find<Membership::Hold>(orders), nullptr);  // for the other one
}

TEST_F(MembershipTest, AProfilerMayLeaveAtOnce) {
  Make(2, 1, 0, 1);
  JoinAll(2);
  Join(9, 0, 0, proto::ROLE_PROFILER);
  const Orders orders = membership_->OnLeave(9, "its host is removed", now_);
  EXPECT_NE(Find<Membership::Dismiss>(orders), nullptr);
  EXPECT_NE(Find<Membership::ProfilerLost>(orders), nullptr);
}

/// A cluster of simulated processes around one Membership, under a random schedule of deaths, joins, broken
/// links and late messages. A step is a barrier: a rank completes it once every rank of its generation has
/// begun it.
class Cluster {
 public:
  explicit Cluster(uint64_t seed) : random_(seed) {
    options_.workers = 1 + Draw(5);
    options_.min_workers = 1 + Draw(options_.workers);
    options_.max_workers = Draw(2) == 0 ? 0 : options_.workers + Draw(2);
    options_.profilers = Draw(2);
    options_.late_model = Draw(3) == 0;
    membership_.emplace(options_, now_);
    membership_->SetTotalSteps(kTotalSteps);
    for (int slot = 0; slot < options_.workers; ++slot) Spawn(proto::ROLE_WORKER, slot);
    for (int slot = 0; slot < options_.profilers; ++slot) Spawn(proto::ROLE_PROFILER, slot);
  }

  bool failed() const { return failed_; }
  int64_t generations() const { return last_generation_; }

  // Runs to the job's end. \return what was wrong, empty if nothing
  std::string Run() {
    const int faults = Draw(8);
    int faults_left = faults;
    for (int event = 0; event < 20000; ++event) {
      if (!error_.empty()) return error_;
      if (failed_) return "";  // the job ended with an error: checked by Fail()
      if (Done()) return "";
      now_ += absl::Milliseconds(50);
      Obey(membership_->OnTick(now_));
      if (faults_left > 0 && Draw(25) == 0) {
        --faults_left;
        Fault();
      }
      Move();
    }
    return "the job hangs";
  }

 private:
  struct Message {
    enum Kind { kStart, kModel, kEnd, kHold, kBoundary };
    explicit Message(Kind kind, int64_t generation, int64_t number = 0, int64_t serial = 0)
        : kind(kind), generation(generation), number(number), serial(serial) {}

    Kind kind;
    int64_t generation;
    int64_t number;  // start step, or the boundary's
    int64_t serial;
    std::vector<int> peers;
    proto::Boundary::Then then = proto::Boundary::THEN_CONTINUE;
    bool sync = false;
  };
  struct Proc {
    proto::ProcessInfo process;
    bool alive = true;
    bool joining = false;  // its Join is on the way
    bool in = false;       // takes part in `generation`
    int64_t generation = 0;
    std::vector<int> peers;  // ranks of the generation
    int64_t completed = 0;
    int64_t begun = -1;
    bool without_model = false;   // its part is not made known yet
    bool awaiting_model = false;  // it is, and the others' is not
    bool in_step = false;
    std::optional<int64_t> hold;
    std::optional<Message> boundary;
    bool broken = false;  // a collective failed: waits for the end of the generation
    std::deque<Message> inbox;
  };

  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint64_t>(below)); }

  void Spawn(proto::Role role, int slot) {
    const int id = next_id_++;
    procs_[id].process = Process(role, slot, id);
    procs_[id].joining = true;
  }

  bool IsWorker(const Proc& proc) const { return proc.process.role() == proto::ROLE_WORKER; }

  bool Done() const {
    int in = 0;
    for (const auto& [id, proc] : procs_) {
      if (!proc.alive || !IsWorker(proc) || !proc.in) continue;
      ++in;
      if (proc.completed < kTotalSteps) return false;
    }
    return in > 0 && membership_->phase() == Membership::Phase::kRunning;
  }

  void Fault() {
    std::vector<int> alive;
    for (const auto& [id, proc] : procs_) {
      if (proc.alive) alive.push_back(id);
    }
    if (alive.empty()) return;
    const int victim = alive[Draw(static_cast<int>(alive.size()))];
    switch (Draw(5)) {
      case 0:
      case 1: {  // dies; the coordinator hears of it later; a launcher starts it again
        Proc& proc = procs_[victim];
        proc.alive = false;
        losses_.push_back(victim);
        if (Draw(3) > 0) Spawn(proc.process.role(), proc.process.slot());
        break;
      }
      case 2:
        Obey(membership_->OnTrouble("a link broke", now_));
        break;
      case 3:
        Obey(membership_->OnLeave(victim, "its host is removed", now_));
        break;
      default:
        if (options_.max_workers != options_.workers) {
          Spawn(proto::ROLE_WORKER, options_.workers + extra_++);
        }
    }
  }

  // One random thing happens.
  void Move() {
    if (!losses_.empty() && Draw(3) == 0) {
      const int id = losses_.front();
      losses_.pop_front();
      Obey(membership_->OnLost(id, "killed", now_));
      return;
    }
    std::vector<int> alive;
    for (const auto& [id, proc] : procs_) {
      if (proc.alive) alive.push_back(id);
    }
    if (alive.empty()) {  // nobody is left to go on
      Spawn(proto::ROLE_WORKER, 0);
      return;
    }
    const int id = alive[Draw(static_cast<int>(alive.size()))];
    Proc& proc = procs_[id];
    if (proc.joining) {
      proc.joining = false;
      Obey(membership_->OnJoin(id, proc.process, proc.completed, now_));
    } else if (!proc.inbox.empty() && Draw(2) == 0) {
      const Message message = proc.inbox.front();
      proc.inbox.pop_front();
      Receive(id, proc, message);
    } else if (proc.in && IsWorker(proc)) {
      Step(id, proc);
    }
  }

  void Receive(int id, Proc& proc, const Message& message) {
    if (message.kind == Message::kStart) {
      proc.in = true;
      proc.generation = message.generation;
      proc.peers = message.peers;
      proc.in_step = proc.broken = proc.awaiting_model = false;
      proc.without_model = options_.late_model;
      proc.hold.reset();
      proc.boundary.reset();
      if (IsWorker(proc)) {
        if (message.sync != (proc.completed != message.number)) error_ = "wrong rank synced";
        proc.completed = message.number;
        proc.begun = message.number - 1;
      }
      return;
    }
    if (message.generation != proc.generation || !proc.in) return;
    if (message.kind == Message::kEnd) {
      Leave(proc);
    } else if (message.kind == Message::kModel) {
      proc.awaiting_model = false;
    } else if (message.kind == Message::kHold) {
      proc.hold = message.serial;
      Obey(membership_->OnHeld(id, message.serial, proc.begun, now_));
    } else if (proc.hold == message.serial) {
      if (message.number <= proc.begun && message.then != proto::Boundary::THEN_CONTINUE) {
        error_ = "a boundary that a rank has passed";
      }
      proc.hold.reset();
      if (message.then != proto::Boundary::THEN_CONTINUE) proc.boundary = message;
    }
  }

  void Leave(Proc& proc) {
    proc.in = proc.in_step = false;
    proc.joining = true;
  }

  void Step(int id, Proc& proc) {
    if (proc.without_model) {
      proc.without_model = false;
      proc.awaiting_model = true;
      MakeModelKnown(proc.generation);
    }
    if (proc.awaiting_model || proc.broken || proc.completed >= kTotalSteps) return;
    if (!proc.in_step) {
      if (proc.hold.has_value()) return;
      if (proc.boundary.has_value() && proc.boundary->number <= proc.completed) {
        Leave(proc);
        return;
      }
      proc.begun = proc.completed;
      proc.in_step = true;
      return;
    }
    // Complete when every peer has begun it; broken if one is gone before that.
    for (int peer : proc.peers) {
      const Proc& other = procs_.at(peer);
      const bool there = other.generation == proc.generation && other.begun >= proc.begun;
      if (there) continue;
      if (!other.alive) proc.broken = true;
      return;
    }
    proc.in_step = false;
    ++proc.completed;
    most_completed_ = std::max(most_completed_, proc.completed);
  }

  // As the coordinator does when it has the last one's part.
  void MakeModelKnown(int64_t generation) {
    if (membership_->phase() != Membership::Phase::kRunning ||
        generation != membership_->generation()) {
      return;
    }
    std::vector<int> ranks;
    for (const auto& [id, member] : membership_->members()) {
      if (member.rank < 0) continue;
      const Proc& proc = procs_.at(id);
      if (proc.generation != generation || !proc.awaiting_model) return;
      ranks.push_back(id);
    }
    for (int id : ranks) Post(id, Message(Message::kModel, generation));
    Obey(membership_->OnModel());
  }

  void Obey(const Orders& orders) {
    for (const auto& order : orders) {
      if (const auto* start = std::get_if<Membership::Start>(&order)) {
        Start(*start);
      } else if (const auto* end = std::get_if<Membership::End>(&order)) {
        for (int id : end->members) Post(id, Message(Message::kEnd, membership_->generation()));
      } else if (const auto* hold = std::get_if<Membership::Hold>(&order)) {
        for (int id : hold->workers) {
          Post(id, Message(Message::kHold, membership_->generation(), 0, hold->serial));
        }
      } else if (const auto* boundary = std::get_if<Membership::Boundary>(&order)) {
        for (int id : boundary->workers) {
          Message message(Message::kBoundary, membership_->generation(), boundary->before_step,
                          boundary->serial);
          message.then = boundary->then;
          Post(id, message);
        }
      } else if (const auto* dismiss = std::get_if<Membership::Dismiss>(&order)) {
        const Proc& gone = procs_.at(dismiss->member);
        if (dismiss->asked && gone.in && IsWorker(gone)) error_ = "let go in the middle of a step";
        procs_.at(dismiss->member).alive = false;
      } else if (const auto* fail = std::get_if<Membership::Fail>(&order)) {
        failed_ = true;
        CheckFail(*fail);
      }
    }
  }

  void Post(int id, Message message) {
    auto found = procs_.find(id);
    if (found != procs_.end()) found->second.inbox.push_back(std::move(message));
  }

  void Start(const Membership::Start& start) {
    const int count = static_cast<int>(start.workers.size());
    if (count < options_.min_workers) error_ = "a generation below the minimum";
    if (options_.max_workers > 0 && count > options_.max_workers) error_ = "above the maximum";
    if (start.generation != last_generation_ + 1) error_ = "a generation was passed over";
    last_generation_ = start.generation;
    // A rank that died may have been the only one through with the step in flight: that step, and no other, is
    // repeated.
    if (start.start_step < most_completed_ - 1) error_ = "more than the step in flight was lost";
    std::set<int> once(start.workers.begin(), start.workers.end());
    if (static_cast<int>(once.size()) != count) error_ = "one process has two ranks";
    for (int rank = 0; rank < count; ++rank) {
      const int id = start.workers[rank];
      if (procs_.at(id).completed > start.start_step) error_ = "a rank is ahead of its generation";
      Message message(Message::kStart, start.generation, start.start_step);
      message.peers = start.workers;
      message.sync = std::count(start.ranks_to_sync.begin(), start.ranks_to_sync.end(), rank) > 0;
      Post(id, message);
    }
    if (procs_.at(start.workers[start.source_rank]).completed != start.start_step) {
      error_ = "the source does not hold the state";
    }
    for (int id : start.profilers) {
      Post(id, Message(Message::kStart, start.generation, start.start_step));
    }
  }

  void CheckFail(const Membership::Fail& fail) {
    const std::string& cause = fail.cause;
    const bool expected = cause.find("nobody holds what it computed") != std::string::npos ||
                          cause.find("workers are left, and no more came") != std::string::npos ||
                          cause.find("joined within") != std::string::npos ||
                          cause.find("cannot be passed") != std::string::npos;
    if (!expected) error_ = "unexpected failure: " + cause;
  }

  std::mt19937_64 random_;
  absl::Time now_ = absl::UnixEpoch();
  Membership::Options options_;
  std::optional<Membership> membership_;
  std::map<int, Proc> procs_;
  std::deque<int> losses_;  // not known to the coordinator yet
  int next_id_ = 0;
  int extra_ = 0;
  int64_t most_completed_ = 0;
  int64_t last_generation_ = 0;
  bool failed_ = false;
  std::string error_;
};

// Blocks, so that they can run on several cores.
class MembershipSimulationTest : public testing::TestWithParam<int> {};

TEST_P(MembershipSimulationTest, NoScheduleHangsLosesAStepOrSplitsTheRanks) {
  constexpr uint64_t kSchedules = 10000;
  int64_t finished = 0;
  int64_t regrouped = 0;
  for (uint64_t i = 0; i < kSchedules; ++i) {
    const uint64_t seed = GetParam() * kSchedules + i;
    Cluster cluster(seed);
    const std::string error = cluster.Run();
    ASSERT_EQ(error, "") << "seed " << seed;
    finished += cluster.failed() ? 0 : 1;
    regrouped += cluster.generations() > 1 ? 1 : 0;
  }
  EXPECT_GT(finished, kSchedules / 2);
  EXPECT_GT(regrouped, kSchedules / 2);
}

INSTANTIATE_TEST_SUITE_P(Blocks, MembershipSimulationTest, testing::Range(0, 10));

}  // namespace
}  // namespace sluice
