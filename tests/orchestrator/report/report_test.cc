#include <sys/stat.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "orchestrator/report/console_reporter.h"
#include "orchestrator/report/job_json.h"
#include "orchestrator/report/run_recorder.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

ClusterStep AStep(int64_t number) {
  ClusterStep step;
  step.step = Step(number);
  step.loss = 0.5;
  step.step_seconds = 0.1;
  step.sent_bytes = 1000;
  step.predicted_bytes = 1001;
  return step;
}

proto::StartGeneration AStart() {
  proto::StartGeneration start;
  start.set_world_size(2);
  start.set_total_steps(10);
  start.add_processes()->set_host("node01");
  start.add_processes()->set_host("node02");
  return start;
}

proto::Failure AFailure() {
  proto::Failure failure;
  failure.set_cause("rank 1 (host node02, pid 7) is gone");
  failure.set_step(41);
  failure.set_exit_code(1);
  return failure;
}

TEST(StepJson, RatioIsRawOverSent) {
  const Json json = Json::parse(StepJson(AStep(3), DefaultJob(2), 4000));
  EXPECT_EQ(json["step"], 3);
  EXPECT_DOUBLE_EQ(json["compression_ratio"], 4.0);
  EXPECT_DOUBLE_EQ(json["samples_per_second"], 1280);
}

TEST(StepJson, ANotANumberLossIsNull) {
  ClusterStep step = AStep(0);
  step.loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(Json::parse(StepJson(step, DefaultJob(2), 1))["loss"].is_null());
}

TEST(SummaryJson, MeansAreOverAllSteps) {
  JobResult result;
  result.totals.steps = 4;
  result.totals.step_seconds = 2;
  result.totals.sent_bytes = 400;
  result.totals.predicted_bytes = 404;
  result.totals.checksums_compared = 1;
  result.evaluation.set_predictions(200);
  result.evaluation.set_correct(150);
  const Json json = Json::parse(SummaryJson(result, DefaultJob(2)));
  EXPECT_DOUBLE_EQ(json["test_accuracy"], 0.75);
  EXPECT_DOUBLE_EQ(json["step_seconds"], 0.5);
  EXPECT_DOUBLE_EQ(json["samples_per_second"], 256);
  EXPECT_DOUBLE_EQ(json["wire_bytes_per_step"], 100);
  EXPECT_DOUBLE_EQ(json["predicted_bytes_per_step"], 101);
  EXPECT_EQ(json["replicas_identical"], true);
}

TEST(SummaryJson, Top5IsThereWhereThereAreMoreClasses) {
  JobResult result;
  result.evaluation.set_predictions(200);
  result.evaluation.set_correct_top5(190);
  result.evaluation.set_classes(5);
  EXPECT_FALSE(Json::parse(SummaryJson(result, DefaultJob(2))).contains("test_top5_accuracy"));
  result.evaluation.set_classes(10);
  const Json json = Json::parse(SummaryJson(result, DefaultJob(2)));
  EXPECT_DOUBLE_EQ(json["test_top5_accuracy"], 0.95);
  EXPECT_FALSE(json.contains("test_perplexity"));
}

TEST(SummaryJson, PerplexityIsThereWherePositionsArePredicted) {
  JobResult result;
  result.evaluation.set_predictions(200);
  result.evaluation.set_loss_sum(200 * std::log(7.0));
  result.evaluation.set_per_position(true);
  EXPECT_NEAR(Json::parse(SummaryJson(result, DefaultJob(2)))["test_perplexity"].get<double>(), 7,
              1e-9);
}

TEST(SummaryJson, WithLocalStepsAStepHasMoreSamples) {
  JobResult result;
  result.totals.steps = 4;
  result.totals.step_seconds = 2;
  proto::JobConfig job = DefaultJob(2);
  job.mutable_training()->set_local_steps(3);
  EXPECT_DOUBLE_EQ(Json::parse(SummaryJson(result, job))["samples_per_second"], 3 * 256);
}

TEST(ConsoleReporter, TheLastLinesHaveTop5AndPerplexity) {
  ConsoleReporter::Options options;
  options.job = DefaultJob(2);
  ConsoleReporter reporter(options);
  JobResult result;
  result.evaluation.set_predictions(200);
  result.evaluation.set_correct(100);
  result.evaluation.set_correct_top5(190);
  result.evaluation.set_loss_sum(200 * std::log(7.0));
  result.evaluation.set_classes(10);
  result.evaluation.set_per_position(true);
  testing::internal::CaptureStdout();
  reporter.OnStarted(AStart(), {1000, 4000});
  reporter.OnEnd(result);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("test accuracy 50.00 %, top 5 95.00 %, perplexity 7.00 (200 positions)"));
}

TEST(SummaryJson, ReplicasThatWereNeverComparedAreNotCalledIdentical) {
  EXPECT_EQ(Json::parse(SummaryJson(JobResult(), DefaultJob(2)))["replicas_identical"], false);
}

TEST(SummaryJson, AFailureNamesItsCause) {
  const Json json = Json::parse(SummaryJson(AFailure(), DefaultJob(2)));
  EXPECT_EQ(json["failed"], true);
  EXPECT_EQ(json["last_step"], 41);
  EXPECT_THAT(json["cause"].get<std::string>(), HasSubstr("rank 1"));
}

TEST(ConsoleReporter, JsonModeKeepsStandardOutputForMachines) {
  ConsoleReporter::Options options;
  options.job = DefaultJob(2);
  options.json = true;
  ConsoleReporter reporter(options);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  reporter.OnStarted(AStart(), {1000, 4000});
  reporter.OnSteps({AStep(0), AStep(1)});
  reporter.OnEnd(AFailure());
  const std::string out = testing::internal::GetCapturedStdout();
  const std::string err = testing::internal::GetCapturedStderr();
  std::vector<std::string> lines = absl::StrSplit(out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3u) << out;
  EXPECT_EQ(Json::parse(lines[1])["step"], 1);
  EXPECT_EQ(Json::parse(lines[2])["event"], "summary");
  EXPECT_THAT(err, HasSubstr("job failed after step 41: rank 1 (host node02, pid 7) is gone"));
}

TEST(ConsoleReporter, NoEscapeSequencesWithoutATerminal) {
  ConsoleReporter::Options options;
  options.job = DefaultJob(2);
  ConsoleReporter reporter(options);
  testing::internal::CaptureStdout();
  reporter.OnStarted(AStart(), {1000, 4000});
  reporter.OnSteps({AStep(0)});
  reporter.OnPolicy(proto::CompressionPolicy());
  reporter.OnEnd(JobResult());
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_FALSE(absl::StrContains(out, "\033")) << out;
  EXPECT_THAT(out, HasSubstr("step 1/10  loss 0.5000"));
}

TEST(ConsoleReporter, VerboseShowsATableOfWhatChanged) {
  ConsoleReporter::Options options;
  options.job = DefaultJob(2);
  options.verbose = true;
  ConsoleReporter reporter(options);
  proto::CompressionPolicy policy;
  proto::LayerChoice& layer = *policy.add_layers();
  layer.set_name("fc.weight");
  layer.mutable_codec()->set_kind(proto::CODEC_MAXMIN);
  layer.mutable_codec()->set_bits(3);
  layer.mutable_codec()->set_bucket_size(512);
  testing::internal::CaptureStdout();
  reporter.OnPolicy(policy);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::ContainsRegex("fc.weight +maxmin3/512 +raw"));
}

TEST(ConsoleReporter, APlansLineNamesItsAlpha) {
  ConsoleReporter::Options options;
  options.job = DefaultJob(2);
  ConsoleReporter reporter(options);
  proto::CompressionPolicy policy;
  policy.set_alpha(0.75);
  testing::internal::CaptureStdout();
  reporter.OnPolicy(policy);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr(", alpha 0.75, solved in"));
}

TEST(RunRecorder, APlanIsAnEventWithItsAlpha) {
  const std::string directory = testing::TempDir() + "/plan_event";
  ASSERT_EQ(mkdir(directory.c_str(), 0777), 0);
  auto recorder = RunRecorder::Create(directory, DefaultJob(2));
  ASSERT_TRUE(recorder.ok()) << recorder.status();
  proto::CompressionPolicy policy;
  policy.set_version(3);
  policy.set_effective_step(105);
  policy.set_alpha(0.75);
  (*recorder)->OnPolicy(policy);
  std::ifstream file(directory + "/events.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  const Json event = Json::parse(line);
  EXPECT_EQ(event["event"], "plan");
  EXPECT_EQ(event["version"], 3);
  EXPECT_EQ(event["effective_step"], 105);
  EXPECT_EQ(event["alpha"], 0.75);
}

TEST(RunRecorder, EveryFileHasWholeLines) {
  const std::string directory = testing::TempDir();
  auto recorder = RunRecorder::Create(directory, DefaultJob(2));
  ASSERT_TRUE(recorder.ok()) << recorder.status();
  (*recorder)->OnStarted(AStart(), {1000, 4000});
  (*recorder)->OnSteps({AStep(0), AStep(1)});
  (*recorder)->OnReport(proto::StepReport());
  (*recorder)->OnPolicy(proto::CompressionPolicy());
  (*recorder)->OnWindow(proto::WindowStatistics());
  (*recorder)->OnEnd(AFailure());
  for (const auto& [name, count] : std::vector<std::pair<std::string, int>>{{"metrics.jsonl", 2},
                                                                            {"timings.jsonl", 1},
                                                                            {"policies.jsonl", 1},
                                                                            {"stats.jsonl", 1},
                                                                            {"summary.json", 1}}) {
    std::ifstream file(directory + "/" + name);
    std::string line;
    int lines = 0;
    while (std::getline(file, line)) {
      EXPECT_TRUE(Json::accept(line)) << name << ": " << line;
      ++lines;
    }
    EXPECT_EQ(lines, count) << name;
  }
}

TEST(RunRecorder, ADirectoryThatCannotBeWrittenIsNamed) {
  const auto recorder = RunRecorder::Create("/proc/no/such", DefaultJob(2));
  EXPECT_THAT(std::string(recorder.status().message()), HasSubstr("/proc/no/such/metrics.jsonl"));
}

}  // namespace
}  // namespace sluice
