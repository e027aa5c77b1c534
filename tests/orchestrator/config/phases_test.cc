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

TEST(Phases, OnlyOtov3HasItsKeys) {
  EXPECT_THAT(ErrorOf("phases: [{steps: 1, otov3: {divisor: 4}}]"),
              HasSubstr("phases[0] (train): otov3 is for phases of kind otov3, this is train"));
}

TEST(Phases, Otov3NamesSharesThatContradictEachOtherAndAPhaseTooShortForThem) {
  EXPECT_THAT(ErrorOf("phases: [{kind: otov3, epochs: 1, otov3: {shrink: 0.9}}]"),
              HasSubstr("phases[0] (otov3): otov3.deadline is 0.8"));
  EXPECT_THAT(ErrorOf("phases: [{kind: otov3, steps: 8, otov3: {variant: hesso}}]"),
              HasSubstr("expected at least 10: make the phase longer"));
}

TEST(Phases, ErasingHasNoSettingsOfChannels) {
  for (const char* const setting : {"divisor: 4", "max_removed: 0.5"}) {
    EXPECT_THAT(ErrorOf("phases: [{kind: otov3, steps: 90, otov3: {mode: erase, " +
                        std::string(setting) + "}}]"),
                HasSubstr("phases[0] (otov3): otov3.mode erase removes whole operators"));
  }
  EXPECT_TRUE(Load("phases: [{kind: otov3, steps: 90, otov3: {mode: erase}}]").ok());
}

TEST(Phases, OnlyTscncHasItsKeys) {
  EXPECT_THAT(ErrorOf("phases: [{steps: 1, tscnc: {sparsity: 0.5}}]"),
              HasSubstr("phases[0] (train): tscnc is for phases of kind tscnc, this is train"));
}

TEST(Phases, TscncHasTheDefaultsOfItsKeys) {
  const auto job = Load("phases: [{kind: tscnc, steps: 1, tscnc: {attack: {steps: 3}}}]");
  ASSERT_TRUE(job.ok()) << job.status();
  const proto::Tscnc& tscnc = job->phases(0).tscnc();
  EXPECT_EQ(tscnc.attack().steps(), 3);
  EXPECT_EQ(tscnc.attack().start(), "gauss");
  EXPECT_DOUBLE_EQ(tscnc.attack().eps(), 8.0 / 255);
  EXPECT_EQ(tscnc.loss(), "trades");
  EXPECT_EQ(tscnc.cnc().kind(), "amgm");
  EXPECT_EQ(tscnc.tsc().a(), 1);
}

TEST(Phases, TscncNamesWhatDoesNotGoWithIt) {
  const auto error = [](const std::string& rest, const std::string& tscnc) {
    return ErrorOf(rest + "\nphases: [{kind: tscnc, steps: 1, tscnc: {" + tscnc + "}}]");
  };
  EXPECT_THAT(error("training: {local_steps: 2}", ""), HasSubstr("set training.local_steps to 1"));
  EXPECT_THAT(error("training: {ema_decay: 0.9}", "sparsity: 0.5"),
              HasSubstr("set training.ema_decay to 0"));
  EXPECT_THAT(error("training: {sync_batch_norm: true}", ""),
              HasSubstr("set training.sync_batch_norm to false"));
  EXPECT_THAT(error("training: {label_smoothing: 0.1}", ""),
              HasSubstr("set training.label_smoothing to 0"));
  EXPECT_THAT(error("data: {augment: [mixup]}", ""), HasSubstr("leave mixup out"));
  EXPECT_THAT(error("data: {dataset: bytes, path: x}", ""), HasSubstr("attacks images"));
  EXPECT_THAT(error("", "sparsity: 0.5, prune_begin: 0.6, prune_end: 0.4"),
              HasSubstr("tscnc.prune_begin: expected at most tscnc.prune_end, 0.4, got 0.6"));
  EXPECT_THAT(error("", "prune_end: 0.4"), HasSubstr("set tscnc.sparsity too"));
  EXPECT_THAT(error("", "attack: {alpha: 0}"), HasSubstr("tscnc.attack.alpha 0 does not move"));
}

TEST(Phases, CleanTscncTakesWhatAttacksDoNot) {
  const auto job = Load(
      "training: {label_smoothing: 0.1}\n"
      "data: {augment: [mixup]}\n"
      "phases: [{kind: tscnc, steps: 1, tscnc: {loss: clean}}]");
  EXPECT_TRUE(job.ok()) << job.status();
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
