// The list of phases in a job file.

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<proto::JobConfig> Load(const std::string& text,
                                      const std::vector<std::string>& overrides = {}) {
  return ParseJob(text, JobFormat::kYaml, "job.yaml", overrides);
}
std::string ErrorOf(const std::string& text) { return std::string(Load(text).status().message()); }

TEST(Phases, WhatAPhaseLeavesOutIsTheJobsWhereverThatIsGiven) {
  const auto job = Load(R"(
phases:
- {steps: 5, optimizer: {momentum: 0.5}}
optimizer: {learning_rate: 0.3, weight_decay: 0.01}
)",
                        {"optimizer.weight_decay=0.02"});
  ASSERT_TRUE(job.ok()) << job.status();
  const proto::Optimizer& optimizer = job->phases(0).optimizer();
  EXPECT_EQ(optimizer.learning_rate(), 0.3);
  EXPECT_EQ(optimizer.momentum(), 0.5);
  EXPECT_EQ(optimizer.weight_decay(), 0.02);
  EXPECT_EQ(job->phases(0).compression().policy(), job->compression().policy());
  EXPECT_EQ(job->phases(0).kind(), "train");
}

TEST(Phases, AreTheSameAfterWritingAndReading) {
  const auto job = Load(R"(
compression: {alpha: 3}
phases:
- {name: a, epochs: 0.5, until: plateau, patience: 7, schedule: {kind: step}}
- {kind: finetune, steps: 9, frozen: [conv, "fc 1"], repeat: 2, repeat_from: a}
)");
  ASSERT_TRUE(job.ok()) << job.status();
  const auto again = Load(JobToYaml(*job));
  ASSERT_TRUE(again.ok()) << again.status() << JobToYaml(*job);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*job, *again)) << JobToYaml(*job);
  EXPECT_EQ(JobDigest(*job), JobDigest(*again));
}

TEST(Phases, TextFormatRepeatsTheKey) {
  const auto job = ParseJob("phases { name: \"a\" steps: 1 } phases { name: \"b\" steps: 2 }",
                            JobFormat::kTextproto, "job.textproto", {});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(job->phases_size(), 2);
  EXPECT_EQ(job->phases(1).name(), "b");
}

TEST(Phases, TheCommandLineReplacesTheList) {
  const auto job = Load("phases: [{steps: 1}]", {"phases=[{name: x, steps: 2}, {steps: 3}]"});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(job->phases_size(), 2);
  EXPECT_EQ(job->phases(0).name(), "x");
}

TEST(Phases, ALengthIsNeeded) {
  EXPECT_THAT(ErrorOf("phases: [{name: a, until: plateau}]"),
              HasSubstr("phases[0] (a): expected steps or epochs above 0"));
}

TEST(Phases, ConditionsNeedATargetThatCanBeReached) {
  EXPECT_THAT(ErrorOf("phases: [{steps: 1, until: accuracy, target: 93}]"),
              HasSubstr("until accuracy needs a target above 0 and at most 1, got 93"));
  EXPECT_THAT(ErrorOf("phases: [{steps: 1, until: loss}]"), HasSubstr("target above 0"));
}

TEST(Phases, OnlyFinetuneFreezes) {
  EXPECT_THAT(ErrorOf("phases: [{steps: 1, frozen: [conv]}]"),
              HasSubstr("frozen is for phases of kind finetune, this is train"));
}

TEST(Phases, TwoOfOneNameAreRefused) {
  EXPECT_THAT(ErrorOf("phases: [{steps: 1}, {steps: 1}]"),
              HasSubstr("phases[1].name: \"train\" is taken"));
}

TEST(Phases, AnUnknownKeyIsNamedWithItsLine) {
  EXPECT_THAT(ErrorOf("phases:\n- steps: 1\n  untill: loss\n"),
              HasSubstr("job.yaml:3: unknown key \"phases.untill\": did you mean \"until\"?"));
}

}  // namespace
}  // namespace sluice
