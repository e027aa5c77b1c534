#include "policies/plugin/plugin_policy.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/compression_policy.h"
#include "policies/plugin/policy_host.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kExample[] = "examples/plugin/largest_layers.so";
constexpr char kMisbehaving[] = "tests/policies/plugin/misbehaving.so";

proto::Compression Job(const std::string& plugin, const std::string& plugin_config = "") {
  proto::Compression config = Config("plugin");
  config.set_plugin(plugin);
  config.set_plugin_config(plugin_config);
  config.set_plugin_timeout_seconds(30);
  return config;
}

absl::Status StartStatus(const proto::Compression& job) {
  return CreateCompressionPolicy(job).status();
}

/// A large layer, a bias, a small layer.
proto::WindowStatistics Window(int64_t number = 0) {
  const proto::Compression config = Config();
  proto::WindowStatistics window;
  window.set_window(number);
  *window.add_layers() = QuantisedLayer(config, "fc.weight", 1 << 20, 1);
  *window.add_layers() = RawLayer("fc.bias", 512);
  *window.add_layers() = QuantisedLayer(config, "conv.weight", 1 << 12, 100);
  window.set_fixed_wire_bytes(96);
  return window;
}

/// What a plugin with this fault comes to in its first window.
absl::Status PlanStatus(const std::string& fault, double timeout_seconds = 30) {
  proto::Compression job = Job(kMisbehaving, fault);
  job.set_plugin_timeout_seconds(timeout_seconds);
  auto policy = CreateCompressionPolicy(job);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? (*policy)->Plan(Window()).status() : absl::UnknownError("");
}

#define EXPECT_NO_PLAN(status, what)                                                          \
  do {                                                                                        \
    const absl::Status got = (status);                                                        \
    EXPECT_EQ(got.code(), absl::StatusCode::kUnavailable) << got;                             \
    EXPECT_THAT(std::string(got.message()), AllOf(HasSubstr(kMisbehaving), HasSubstr(what))); \
  } while (false)

#define EXPECT_REFUSED(job, what)                                                           \
  do {                                                                                      \
    const absl::Status got = StartStatus(job);                                              \
    EXPECT_EQ(got.code(), absl::StatusCode::kFailedPrecondition) << got;                    \
    EXPECT_THAT(                                                                            \
        std::string(got.message()),                                                         \
        AllOf(HasSubstr("compression.plugin "), HasSubstr((job).plugin()), HasSubstr(what), \
              HasSubstr("docs/policy_plugins.md"), Not(HasSubstr("\n"))));                  \
  } while (false)

TEST(PluginPolicy, TheExampleGivesTheLargestLayersTwoBits) {
  auto policy = CreateCompressionPolicy(Job(kExample));
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto plan = (*policy)->Plan(Window());
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->layers_size(), 3);
  EXPECT_EQ(plan->layers(0).codec().bits(), 2);
  EXPECT_EQ(plan->layers(1).codec().kind(), proto::CODEC_RAW);
  EXPECT_EQ(plan->layers(2).codec().bits(), 4);
  EXPECT_EQ(plan->reason(),
            "plugin largest_layers: 2 bits on the largest 1 of 2 layers, 4 bits on the others");
  EXPECT_LT(plan->predicted_bytes(), plan->uniform_bytes());
  EXPECT_GT(plan->predicted_bytes(), 96 + (1 << 20) / 4);
}

TEST(PluginPolicy, TheExampleReadsItsConfig) {
  auto policy = CreateCompressionPolicy(Job(kExample, "1"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto plan = (*policy)->Plan(Window());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->layers(2).codec().bits(), 2);
  EXPECT_REFUSED(Job(kExample, "most"), "expected a share from 0 to 1, got \"most\"");
}

TEST(PluginPolicy, NeedsErrorsWithoutBeingStarted) {
  const auto needs = PolicyNeedsErrors(Job("/there/is/no/such/file.so"));
  ASSERT_TRUE(needs.ok()) << needs.status();
  EXPECT_TRUE(*needs);
}

TEST(PluginPolicy, IsToldWhereItIs) {
  const absl::Status status = StartStatus(Job(""));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("needs compression.plugin"));
}

TEST(PluginPolicy, MissingFilesAreRefused) {
  EXPECT_REFUSED(Job("/there/is/no/such/file.so"), "cannot be loaded");
  EXPECT_REFUSED(Job("libm.so.6"), "cannot be loaded: ./libm.so.6");  // not the system's
}

TEST(PluginPolicy, FilesThatAreNoSharedObjectsAreRefused) {
  EXPECT_REFUSED(Job("tests/policies/plugin/plugin_policy_test.cc"), "cannot be loaded");
}

TEST(PluginPolicy, OtherSharedObjectsAreRefused) {
  EXPECT_REFUSED(Job("tests/policies/plugin/no_symbol.so"), "does not export sluice_policy_plugin");
}

TEST(PluginPolicy, OtherVersionsAreRefused) {
  EXPECT_REFUSED(Job("tests/policies/plugin/other_version.so"),
                 "has version 2 of the plugin interface, expected 1");
}

TEST(PluginPolicy, TablesThatLackSomethingAreRefused) {
  EXPECT_REFUSED(Job("tests/policies/plugin/lacks_a_function.so"), "lacks its name or a function");
  EXPECT_REFUSED(Job("tests/policies/plugin/returns_null.so"), "returned NULL");
}

TEST(PluginPolicy, PluginsThatCrashAtLoadAreRefused) {
  EXPECT_REFUSED(Job("tests/policies/plugin/crashes_at_load.so"),
                 "crashed while it was loaded: signal 6");
}

TEST(PluginPolicy, PluginsThatCrashInCreateAreRefused) {
  EXPECT_REFUSED(Job(kMisbehaving, "crash_in_create"), "crashed in create(): signal 6");
}

TEST(PluginPolicy, PluginsThatHangInCreateAreRefused) {
  proto::Compression job = Job(kMisbehaving, "hang_in_create");
  job.set_plugin_timeout_seconds(0.05);
  EXPECT_REFUSED(job, "did not answer within 50ms in create()");
}

TEST(PluginPolicy, PluginsThatRefuseTheirConfigAreRefusedInTheirWords) {
  EXPECT_REFUSED(Job(kMisbehaving, "refuse"),
                 "refuses compression.plugin_config (7): no such thing?as this");
}

TEST(PluginPolicy, ACrashInPlanGivesNoPlan) {
  EXPECT_NO_PLAN(PlanStatus("crash"), "crashed in plan(): signal 6 (Aborted) (failure 1 of 3");
}

TEST(PluginPolicy, AnExitInPlanGivesNoPlan) {
  EXPECT_NO_PLAN(PlanStatus("exit"), "crashed in plan(): its process ended with 3");
}

TEST(PluginPolicy, AHangGivesNoPlanAfterTheTimeout) {
  const absl::Time begin = absl::Now();
  EXPECT_NO_PLAN(PlanStatus("hang", 1), "did not answer within 1s in plan()");
  EXPECT_GE(absl::Now() - begin, absl::Seconds(1));
}

TEST(PluginPolicy, IndicesOutOfRangeGiveNoPlan) {
  EXPECT_NO_PLAN(PlanStatus("out_of_range"), "for layer fc.weight, which has");
  EXPECT_NO_PLAN(PlanStatus("negative"), "chose option -2 for layer fc.weight");
}

TEST(PluginPolicy, AMissingLayerGivesNoPlan) {
  EXPECT_NO_PLAN(PlanStatus("missing"), "gave no choice for layer conv.weight");
}

TEST(PluginPolicy, CompressingALayerThatMustBeRawGivesNoPlan) {
  auto policy = CreateCompressionPolicy(Job(kMisbehaving, "compress_all"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  proto::WindowStatistics window = Window();
  window.mutable_layers(1)->add_options()->mutable_codec()->set_kind(proto::CODEC_FP16);
  EXPECT_NO_PLAN((*policy)->Plan(window).status(),
                 "chose to compress layer fc.bias, which must be raw");
}

TEST(PluginPolicy, ADeclinedPlanSaysWhy) {
  EXPECT_NO_PLAN(PlanStatus("decline"), "gave no plan (5): nothing to say");
}

TEST(PluginPolicy, ReasonsAreCutAndPrintable) {
  auto policy = CreateCompressionPolicy(Job(kMisbehaving, "endless_reason"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto plan = (*policy)->Plan(Window());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->reason(), "plugin misbehaving: " + std::string(511, '?'));
}

TEST(PluginPolicy, StandardOutputIsNotOurs) {
  testing::internal::CaptureStdout();
  {
    auto policy = CreateCompressionPolicy(Job(kMisbehaving, "chatter"));
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_TRUE((*policy)->Plan(Window()).ok());
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(PluginPolicy, ANewHostAnswersTheNextWindow) {
  for (const char* fault : {"crash:2", "hang:2", "out_of_range:2"}) {
    proto::Compression job = Job(kMisbehaving, fault);
    job.set_plugin_timeout_seconds(fault[0] == 'h' ? 1 : 30);
    auto policy = CreateCompressionPolicy(job);
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_NO_PLAN((*policy)->Plan(Window(0)).status(), "failure 1 of 3");
    EXPECT_NO_PLAN((*policy)->Plan(Window(1)).status(), "failure 2 of 3");
    const auto plan = (*policy)->Plan(Window(2));
    EXPECT_TRUE(plan.ok()) << plan.status();
  }
}

TEST(PluginPolicy, AGoodPlanForgivesFailures) {
  auto policy = CreateCompressionPolicy(Job(kMisbehaving, "crash:1"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  for (int round = 0; round < 3; ++round) {
    EXPECT_NO_PLAN((*policy)->Plan(Window(0)).status(), "failure 1 of 3");
    EXPECT_TRUE((*policy)->Plan(Window(1)).ok());
  }
}

TEST(PluginPolicy, ThreeFailuresInARowAreEnough) {
  auto policy = CreateCompressionPolicy(Job(kMisbehaving, "crash:3"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  for (int window = 0; window < 3; ++window) {
    EXPECT_NO_PLAN((*policy)->Plan(Window(window)).status(), "crashed");
  }
  for (int window = 3; window < 5; ++window) {  // it would be good again
    EXPECT_NO_PLAN((*policy)->Plan(Window(window)).status(), "is not asked any more");
  }
}

TEST(PluginPolicy, IsDestroyedAtTheEnd) {
  const std::string path = testing::TempDir() + "/destroyed";
  unlink(path.c_str());
  setenv("SLUICE_TEST_DESTROYED", path.c_str(), 1);
  CreateCompressionPolicy(Job(kMisbehaving)).value().reset();
  unsetenv("SLUICE_TEST_DESTROYED");
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
}

TEST(PluginPolicy, StatisticsThatAreWrongAreNotItsFault) {
  auto policy = CreateCompressionPolicy(Job(kExample));
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->Plan(proto::WindowStatistics()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == sluice::kPolicyHostCommand) {
    return sluice::RunPolicyHost(argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
