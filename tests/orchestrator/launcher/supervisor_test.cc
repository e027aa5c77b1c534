#include "orchestrator/launcher/supervisor.h"

#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChildSpec Shell(const std::string& name, const std::string& script) {
  ChildSpec spec;
  spec.name = name;
  spec.argv = {"/bin/sh", "-c", script};
  return spec;
}

TEST(LineSplitter, LinesAreWholeWhateverPiecesTheyArriveIn) {
  LineSplitter splitter;
  EXPECT_THAT(splitter.Add("one\ntw"), ElementsAre("one"));
  EXPECT_THAT(splitter.Add("o\n\nthr"), ElementsAre("two", ""));
  EXPECT_EQ(splitter.Flush(), "thr");
  EXPECT_EQ(splitter.Flush(), "");
}

TEST(LineSplitter, ACarriageReturnEndsALineOnce) {
  LineSplitter splitter;
  EXPECT_THAT(splitter.Add("50 %\r100 %\r\ndone\n"), ElementsAre("50 %", "100 %", "", "done"));
}

TEST(Supervisor, ForwardsWholeLinesWithTheChildsName) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor.ok());
  testing::internal::CaptureStderr();
  ASSERT_TRUE(supervisor->Start(Shell("rank 2", "echo out; echo err >&2; printf rest")).ok());
  supervisor->Wait();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("[rank 2]<stdout>:out\n"));
  EXPECT_THAT(text, HasSubstr("[rank 2]<stderr>:err\n"));
  EXPECT_THAT(text, HasSubstr("[rank 2]<stdout>:rest\n"));
}

TEST(Supervisor, AllEndingWellHasNoCulprit) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor->Start(Shell("lead", "exit 0")).ok());
  ASSERT_TRUE(supervisor->Start(Shell("other", "exit 0")).ok());
  EXPECT_EQ(supervisor->Wait().culprit, "");
}

TEST(Supervisor, TheFirstToEndBadlyIsTheCulprit) {
  auto supervisor = Supervisor::Create();
  ASSERT_TRUE(supervisor->Start(Shell("lead", "read x; exit 3")).ok());
  ASSERT_TRUE(supervisor->Start(Shell("bad", "kill -9 $$")).ok());
  const Supervisor::Outcome outcome = supervisor->Wait();
  EXPECT_EQ(outcome.lead_code, 3);
  EXPECT_EQ(outcome.culprit, "bad");
  EXPECT_THAT(DescribeWaitStatus(outcome.culprit_status), HasSubstr("signal 9"));
}

TEST(Supervisor, AChildThatDoesNotEndByItselfIsEnded) {
  auto supervisor = Supervisor::Create();
  // Ignores SIGTERM and has a grandchild: both must go.
  ASSERT_TRUE(supervisor->Start(Shell("deaf", "trap '' TERM; sleep 1000 & wait; wait")).ok());
  ASSERT_TRUE(supervisor->Start(Shell("bad", "exit 1")).ok());
  EXPECT_EQ(supervisor->Wait().culprit, "bad");
}

TEST(Supervisor, AProgramThatDoesNotExistEndsWith127) {
  auto supervisor = Supervisor::Create();
  ChildSpec spec;
  spec.name = "ghost";
  spec.argv = {"/no/such/program"};
  ASSERT_TRUE(supervisor->Start(spec).ok());
  testing::internal::CaptureStderr();
  const Supervisor::Outcome outcome = supervisor->Wait();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("/no/such/program"));
  EXPECT_EQ(ExitCodeOf(outcome.culprit_status), 127);
}

TEST(Supervisor, ReadsTheLineThatAChildAnnounces) {
  auto supervisor = Supervisor::Create();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ChildSpec spec = Shell("lead", "echo 4711 >&3; exit 0");
  spec.pass_fd = ends[1];
  ASSERT_TRUE(supervisor->Start(spec).ok());
  close(ends[1]);
  auto line = supervisor->ReadLine(ends[0], absl::Seconds(30));
  close(ends[0]);
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(*line, "4711");
  supervisor->Wait();
}

TEST(Supervisor, WaitingForALineEndsWhenTheChildDies) {
  auto supervisor = Supervisor::Create();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(supervisor->Start(Shell("lead", "exit 5")).ok());
  EXPECT_EQ(supervisor->ReadLine(ends[0], absl::Seconds(60)).status().code(),
            absl::StatusCode::kAborted);
  close(ends[0]);
  close(ends[1]);
}

TEST(Supervisor, TheEnvironmentOfTheSpecWins) {
  auto supervisor = Supervisor::Create();
  ChildSpec spec = Shell("env", "echo $RANK");
  spec.environment = {{"RANK", "7"}};
  testing::internal::CaptureStderr();
  ASSERT_TRUE(supervisor->Start(spec).ok());
  supervisor->Wait();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("<stdout>:7\n"));
}

TEST(Supervisor, ASignalToUsReachesTheLead) {
  auto supervisor = Supervisor::Create();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ChildSpec spec =
      Shell("lead", "trap 'exit 9' TERM; echo ready >&3; while :; do sleep 0.05; done");
  spec.pass_fd = ends[1];
  ASSERT_TRUE(supervisor->Start(spec).ok());
  close(ends[1]);
  ASSERT_TRUE(supervisor->ReadLine(ends[0], absl::Seconds(30)).ok());
  close(ends[0]);
  testing::internal::CaptureStderr();
  kill(getpid(), SIGTERM);
  const Supervisor::Outcome outcome = supervisor->Wait();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(outcome.signal, SIGTERM);
  EXPECT_EQ(outcome.lead_code, 9);
}

// Starts children once, on the first tick, and may move them.
class OneTick : public Roster {
 public:
  explicit OneTick(std::function<void(Supervisor&)> act) : act_(std::move(act)) {}
  void OnEnded(const std::string& name, int status, bool again) override {
    ended.push_back(name + " " + std::to_string(ExitCodeOf(status)) + (again ? " again" : ""));
  }
  std::optional<ChildSpec> Again(const std::string& name) override {
    if (++asked < 2) return std::nullopt;  // no place yet
    return Shell(name, "exit 0");
  }
  void OnTick(Supervisor& supervisor) override {
    if (act_ != nullptr) std::exchange(act_, nullptr)(supervisor);
  }
  std::vector<std::string> ended;
  int asked = 0;

 private:
  std::function<void(Supervisor&)> act_;
};

TEST(Supervisor, ARosterStartsChildrenWhileOthersRun) {
  auto supervisor = Supervisor::Create();
  OneTick roster(
      [](Supervisor& running) { EXPECT_TRUE(running.Start(Shell("new", "exit 0")).ok()); });
  supervisor->AllowRestarts(10);
  supervisor->SetRoster(&roster);
  ASSERT_TRUE(supervisor->Start(Shell("lead", "sleep 2")).ok());
  EXPECT_EQ(supervisor->Wait().culprit, "");
  EXPECT_THAT(roster.ended, ElementsAre("new 0", "lead 0"));
}

TEST(Supervisor, ARosterSaysHowAChildIsStartedAgainOnceThereIsAPlace) {
  auto supervisor = Supervisor::Create();
  OneTick roster(nullptr);
  supervisor->AllowRestarts(10);
  supervisor->SetRoster(&roster);
  ASSERT_TRUE(supervisor->Start(Shell("lead", "sleep 3")).ok());
  ASSERT_TRUE(supervisor->Start(Shell("other", "exit 1")).ok());
  supervisor->Wait();
  EXPECT_EQ(roster.asked, 2);
  EXPECT_THAT(roster.ended, ElementsAre("other 1 again", "other 0", "lead 0"));
}

TEST(Supervisor, ARetiredChildIsToldToLeaveAndIsNobodysFault) {
  auto supervisor = Supervisor::Create();
  OneTick roster([](Supervisor& running) { running.Retire("other", absl::Seconds(60)); });
  supervisor->AllowRestarts(10);
  supervisor->SetRoster(&roster);
  ASSERT_TRUE(supervisor->Start(Shell("lead", "sleep 3")).ok());
  ASSERT_TRUE(
      supervisor->Start(Shell("other", "trap 'exit 7' USR2; while :; do sleep 0.05; done")).ok());
  EXPECT_EQ(supervisor->Wait().culprit, "");
  EXPECT_EQ(roster.ended.front().substr(0, 6), "other ");  // 7, or killed before its trap was set
}

TEST(Supervisor, ARetiredChildThatDoesNotLeaveIsKilledAfterItsGrace) {
  auto supervisor = Supervisor::Create();
  OneTick roster([](Supervisor& running) { running.Retire("deaf", absl::Milliseconds(10)); });
  supervisor->AllowRestarts(10);
  supervisor->SetRoster(&roster);
  ASSERT_TRUE(supervisor->Start(Shell("lead", "sleep 3")).ok());
  ChildSpec deaf = Shell("deaf", "echo ready >&3; sleep 1000");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  deaf.argv[2] = "trap '' USR2; " + deaf.argv[2];
  deaf.pass_fd = ends[1];
  ASSERT_TRUE(supervisor->Start(deaf).ok());
  close(ends[1]);
  char byte;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  EXPECT_EQ(supervisor->Wait().culprit, "");
  EXPECT_EQ(roster.ended.front(), "deaf 137");
}

}  // namespace
}  // namespace sluice
