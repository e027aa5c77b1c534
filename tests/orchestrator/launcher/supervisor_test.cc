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

}  // namespace
}  // namespace sluice
