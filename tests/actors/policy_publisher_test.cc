#include "actors/policy_publisher.h"

#include <algorithm>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actors/job_fixture.h"

namespace sluice {
namespace {

// One eligible layer whose 4-bit option is the uniform reference and whose `best_bits` option loses as little.
proto::WindowStatistics Window(int64_t number, int64_t last_step, int best_bits) {
  proto::WindowStatistics window;
  window.set_window(number);
  window.set_last_step(last_step);
  proto::LayerStatistics& layer = *window.add_layers();
  layer.set_name("fc.weight");
  layer.set_elements(1000);
  layer.set_eligible(true);
  layer.set_squared_norm(100);
  layer.add_options()->set_wire_bytes(4000);  // raw
  for (int bits : {4, best_bits}) {
    proto::OptionStatistics& option = *layer.add_options();
    option.mutable_codec()->set_kind(proto::CODEC_MAXMIN);
    option.mutable_codec()->set_bits(bits);
    option.mutable_codec()->set_bucket_size(512);
    option.set_wire_bytes(125 * bits);
    option.set_squared_error(1);
  }
  return window;
}

// Has a plan for windows of an even number alone.
class EvenPolicy : public CompressionPolicyMaker {
 public:
  bool NeedsErrors() const override { return true; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override {
    if (window.window() % 2 != 0) return absl::UnavailableError("an odd window");
    proto::CompressionPolicy plan;
    proto::LayerChoice& layer = *plan.add_layers();
    *layer.mutable_codec() = window.layers(0).options(window.window() == 0 ? 1 : 2).codec();
    return plan;
  }
};

class PolicyPublisherTest : public testing::Test {
 protected:
  void Make(const std::string& policy, int world_size = 2) {
    proto::JobConfig job = DefaultJob(world_size);
    job.mutable_compression()->set_policy(policy);
    publisher_ = *PolicyPublisher::Create(job, [this] { return now_ += absl::Milliseconds(3); });
  }
  absl::Time now_ = absl::UnixEpoch();
  std::unique_ptr<PolicyPublisher> publisher_;
};

TEST_F(PolicyPublisherTest, LgrecoBeginsWithTheUniformReferenceAfterTheWarmUp) {
  Make("lgreco");
  const auto policy = *publisher_->Initial(Window(0, 0, 3));
  ASSERT_TRUE(policy.has_value());
  EXPECT_EQ(policy->version(), 1u);
  EXPECT_EQ(policy->effective_step(), 50);
  EXPECT_EQ(policy->layers(0).codec().bits(), 4);
  EXPECT_DOUBLE_EQ(policy->solve_seconds(), 0.003);
}

TEST_F(PolicyPublisherTest, NoneAndAWorldOfOnePublishNothing) {
  Make("none");
  EXPECT_FALSE(publisher_->Initial(Window(0, 0, 3))->has_value());
  Make("lgreco", 1);
  EXPECT_FALSE(publisher_->Initial(Window(0, 0, 3))->has_value());
  EXPECT_EQ(publisher_->changes(), 0);
}

TEST_F(PolicyPublisherTest, APlanTakesEffectLeadStepsAfterItsWindow) {
  Make("lgreco");
  ASSERT_TRUE(publisher_->Initial(Window(0, 0, 3)).ok());
  const auto policy = *publisher_->OnWindow(Window(0, 99, 3));
  ASSERT_TRUE(policy.has_value());
  EXPECT_EQ(policy->version(), 2u);
  EXPECT_EQ(policy->effective_step(), 105);
  EXPECT_EQ(policy->layers(0).codec().bits(), 3);
}

TEST_F(PolicyPublisherTest, NoPlanTakesEffectDuringTheWarmUp) {
  Make("lgreco");
  const auto policy = *publisher_->OnWindow(Window(0, 9, 3));
  ASSERT_TRUE(policy.has_value());
  EXPECT_EQ(policy->effective_step(), 50);
}

TEST_F(PolicyPublisherTest, AnUnchangedPlanIsNotPublishedAgain) {
  Make("lgreco");
  ASSERT_TRUE((*publisher_->OnWindow(Window(0, 99, 3))).has_value());
  EXPECT_FALSE((*publisher_->OnWindow(Window(1, 199, 3))).has_value());
  EXPECT_TRUE((*publisher_->OnWindow(Window(2, 299, 2))).has_value());
  EXPECT_EQ(publisher_->changes(), 2);
}

// The best option's bytes are `saving` of the 3-bit option's fewer.
proto::WindowStatistics NearlyEqual(int64_t number, double saving) {
  proto::WindowStatistics window = Window(number, 100 * number + 99, 3);
  proto::OptionStatistics& better = *window.mutable_layers(0)->add_options();
  better = window.layers(0).options(2);
  better.mutable_codec()->set_bucket_size(2048);
  better.set_wire_bytes(better.wire_bytes() * (1 - saving));
  return window;
}

TEST_F(PolicyPublisherTest, APlanStaysWhereANewOneGainsLessThanTheHysteresis) {
  Make("lgreco");
  ASSERT_TRUE((*publisher_->OnWindow(Window(0, 99, 3))).has_value());
  EXPECT_FALSE((*publisher_->OnWindow(NearlyEqual(1, 0.01))).has_value());
  EXPECT_TRUE((*publisher_->OnWindow(NearlyEqual(2, 0.05))).has_value());
}

TEST_F(PolicyPublisherTest, APlanBeyondTheBudgetGoesEvenIfTheNewOneGainsNothing) {
  Make("lgreco");
  ASSERT_TRUE((*publisher_->OnWindow(Window(0, 99, 3))).has_value());
  proto::WindowStatistics window = NearlyEqual(1, 0);
  window.mutable_layers(0)->mutable_options(2)->set_squared_error(2);
  EXPECT_TRUE((*publisher_->OnWindow(window)).has_value());
}

TEST_F(PolicyPublisherTest, WithoutAPlanTheOneInForceStays) {
  PolicyPublisher publisher(DefaultJob(2), std::make_unique<EvenPolicy>(),
                            [] { return absl::UnixEpoch(); });
  EXPECT_EQ((*publisher.Initial(Window(0, 0, 3)))->layers(0).codec().bits(), 4);  // uniform
  EXPECT_FALSE((*publisher.OnWindow(Window(0, 99, 3))).has_value());  // the same as uniform
  testing::internal::CaptureStderr();
  const auto odd = publisher.OnWindow(Window(1, 199, 3));
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_FALSE(odd->has_value());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("no plan for window 1, the one in force stays: an odd window"));
  EXPECT_EQ(publisher.changes(), 1);
  const auto even = *publisher.OnWindow(Window(2, 299, 3));
  ASSERT_TRUE(even.has_value());
  EXPECT_EQ(even->version(), 2u);
}

TEST_F(PolicyPublisherTest, TheSameWarningIsGivenOnce) {
  PolicyPublisher publisher(DefaultJob(2), std::make_unique<EvenPolicy>(),
                            [] { return absl::UnixEpoch(); });
  ASSERT_TRUE(publisher.OnWindow(Window(1, 199, 3)).ok());
  testing::internal::CaptureStderr();
  ASSERT_TRUE(publisher.OnWindow(Window(3, 399, 3)).ok());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(PolicyPublisherTest, AWindowOutOfOrderIsRefused) {
  Make("lgreco");
  ASSERT_TRUE(publisher_->OnWindow(Window(3, 99, 3)).ok());
  EXPECT_EQ(publisher_->OnWindow(Window(3, 99, 3)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PolicyPublisherTest, RecordedPlansAreKnownBeforeTrainingAndKeepTheirSteps) {
  proto::JobConfig job = DefaultJob(2);
  job.mutable_compression()->set_policy("recorded");
  job.mutable_compression()->set_plan_file(testing::TempDir() + "/recorded.jsonl");
  std::ofstream file(job.compression().plan_file());
  for (const auto& [step, bits] :
       std::vector<std::pair<int, int>>{{20, 8}, {50, 4}, {105, 3}, {205, 3}, {305, 4}}) {
    file << "{\"version\":1,\"effective_step\":" << step << ",\"layers\":{\"fc.weight\":\"maxmin"
         << bits << "/512\"}}\n";
  }
  file.close();
  publisher_ = *PolicyPublisher::Create(job, [this] { return now_; });
  EXPECT_FALSE(*NeedsWindows(job));
  const auto initial = *publisher_->Initial(Window(0, 0, 3));
  ASSERT_TRUE(initial.has_value());
  EXPECT_EQ(initial->version(), 1u);
  EXPECT_EQ(initial->effective_step(), 50);
  EXPECT_EQ(initial->layers(0).codec().bits(), 4);
  const auto later = *publisher_->Later(Window(0, 0, 3));
  ASSERT_EQ(later.size(), 2u) << "the plan of step 205 changes nothing";
  EXPECT_EQ(later[0].version(), 2u);
  EXPECT_EQ(later[0].effective_step(), 105);
  EXPECT_EQ(later[0].layers(0).codec().bits(), 3);
  EXPECT_EQ(later[1].effective_step(), 305);
  EXPECT_EQ(later[1].layers(0).codec().bits(), 4);
  EXPECT_EQ(publisher_->changes(), 3);
}

TEST_F(PolicyPublisherTest, OtherPoliciesKnowNothingBeforeTraining) {
  for (const std::string policy : {"none", "uniform", "lgreco"}) {
    Make(policy);
    EXPECT_TRUE(publisher_->Later(Window(0, 0, 3))->empty()) << policy;
  }
}

// Whatever the job: at the step before a plan takes effect, every rank waits for exactly the windows whose plans
// take effect no later than the step after it.
TEST_F(PolicyPublisherTest, ARankWaitsForTheWindowsThatMayTakeEffectNext) {
  for (int64_t warmup : {0, 1, 50}) {
    for (int64_t length : {1, 15, 100}) {
      for (int64_t lead : {1, 2, 40}) {
        proto::Compression compression;
        compression.set_warmup_steps(warmup);
        compression.set_window_steps(length);
        compression.set_lead_steps(lead);
        for (int64_t step = 0; step < 400; ++step) {
          int64_t expected = step + 1 < warmup ? kNoDecision : kInitialDecision;
          for (int64_t w = 0; expected != kNoDecision && w < 400; ++w) {
            const int64_t last = (w + 1) * length - 1;
            if (std::max(warmup, last + 1 + lead) <= step + 1) expected = w;
          }
          ASSERT_EQ(RequiredDecision(compression, true, Step(step)), expected)
              << "warmup " << warmup << " window " << length << " lead " << lead << " step "
              << step;
        }
      }
    }
  }
}

TEST_F(PolicyPublisherTest, WithoutWindowsOnlyTheStartIsWaitedFor) {
  proto::Compression compression;
  compression.set_warmup_steps(3);
  compression.set_window_steps(1);
  compression.set_lead_steps(1);
  EXPECT_EQ(RequiredDecision(compression, false, Step(1)), kNoDecision);
  EXPECT_EQ(RequiredDecision(compression, false, Step(2)), kInitialDecision);
  EXPECT_EQ(RequiredDecision(compression, false, Step(200)), kInitialDecision);
}

TEST_F(PolicyPublisherTest, OnlyPoliciesThatNeedErrorsNeedWindows) {
  proto::JobConfig job = DefaultJob(2);
  for (const auto& [policy, needs] : std::vector<std::pair<std::string, bool>>{
           {"none", false}, {"uniform", false}, {"lgreco", true}, {"plugin", true}}) {
    job.mutable_compression()->set_policy(policy);
    job.mutable_compression()->set_plugin("not_looked_at.so");
    EXPECT_EQ(*NeedsWindows(job), needs) << policy;
  }
  job.mutable_compression()->set_policy("magic");
  EXPECT_FALSE(NeedsWindows(job).ok());
}

// Windows of 100 steps whose best option changes each time.
proto::WindowStatistics Numbered(int64_t window) {
  return Window(window, 100 * window + 99, 2 + static_cast<int>(window % 2));
}

TEST_F(PolicyPublisherTest, AStateHoldsTheDecisionsBeforeItsStepAndNoLaterOnes) {
  Make("lgreco");
  EXPECT_EQ(publisher_->SaveState(Step(0))->decided_window(), kNoDecision);
  ASSERT_TRUE(publisher_->Initial(Window(0, 0, 3)).ok());
  for (int64_t w = 0; w < 3; ++w) ASSERT_TRUE((*publisher_->OnWindow(Numbered(w))).has_value());

  const auto start = publisher_->SaveState(Step(10));
  ASSERT_TRUE(start.has_value());
  EXPECT_EQ(start->decided_window(), kInitialDecision);
  EXPECT_EQ(start->policy().version(), 0u);
  ASSERT_EQ(start->pending_size(), 1);
  EXPECT_EQ(start->pending(0).effective_step(), 50);

  const auto ended = publisher_->SaveState(Step(200));  // window 1 has just ended
  EXPECT_EQ(ended->decided_window(), 1);
  EXPECT_EQ(ended->policy().version(), 2u);
  ASSERT_EQ(ended->pending_size(), 1);
  EXPECT_EQ(ended->pending(0).version(), 3u);
  EXPECT_EQ(ended->pending(0).effective_step(), 205);
  EXPECT_EQ(ended->changes(), 3);

  const auto within = publisher_->SaveState(Step(205));
  EXPECT_EQ(within->policy().version(), 3u);
  EXPECT_EQ(within->pending_size(), 0);
}

TEST_F(PolicyPublisherTest, ARestoredPublisherGoesOnAsTheOneItCameFrom) {
  for (const char* policy : {"lgreco", "accordion", "uniform"}) {
    SCOPED_TRACE(policy);
    Make(policy);
    ASSERT_TRUE(publisher_->Initial(Window(0, 0, 3)).ok());
    const bool windows = std::string(policy) != "uniform";
    if (windows) {
      for (int64_t w = 0; w < 2; ++w) ASSERT_TRUE(publisher_->OnWindow(Numbered(w)).ok());
    }
    const auto state = publisher_->SaveState(Step(200));
    ASSERT_TRUE(state.has_value());
    const auto whole = std::move(publisher_);
    Make(policy);
    ASSERT_TRUE(publisher_->RestoreState(*state).ok());
    EXPECT_EQ(publisher_->SaveState(Step(200))->SerializeAsString(), state->SerializeAsString());
    EXPECT_EQ(publisher_->current().version(), whole->current().version());
    EXPECT_EQ(publisher_->changes(), whole->changes());
    if (!windows) continue;
    EXPECT_EQ(publisher_->OnWindow(Numbered(1)).status().code(),
              absl::StatusCode::kInvalidArgument);
    for (int64_t w = 2; w < 5; ++w) {
      auto expected = *whole->OnWindow(Numbered(w));
      auto actual = *publisher_->OnWindow(Numbered(w));
      ASSERT_EQ(actual.has_value(), expected.has_value()) << "window " << w;
      if (!expected.has_value()) continue;
      EXPECT_EQ(actual->SerializeAsString(), expected->SerializeAsString()) << "window " << w;
    }
  }
}

TEST_F(PolicyPublisherTest, OldDecisionsAreForgotten) {
  Make("lgreco");
  ASSERT_TRUE(publisher_->Initial(Window(0, 0, 3)).ok());
  const auto windows = static_cast<int64_t>(PolicyPublisher::kKeptDecisions) + 5;
  for (int64_t w = 0; w < windows; ++w) ASSERT_TRUE(publisher_->OnWindow(Numbered(w)).ok());
  EXPECT_FALSE(publisher_->SaveState(Step(100)).has_value());
  const auto oldest = publisher_->SaveState(Step(100 * 6));
  ASSERT_TRUE(oldest.has_value());
  EXPECT_EQ(oldest->decided_window(), 5);
  EXPECT_EQ(oldest->policy().version(), 6u);  // uniform, then windows 0 to 4
  EXPECT_EQ(oldest->pending(0).version(), 7u);
}

TEST_F(PolicyPublisherTest, AStateThatCannotBeIsRefused) {
  Make("lgreco");
  proto::PolicyState state;
  state.mutable_policy()->set_version(3);
  state.add_pending()->set_version(3);
  EXPECT_EQ(publisher_->RestoreState(state).code(), absl::StatusCode::kDataLoss);
  state.clear_pending();
  state.set_maker("of another policy");
  EXPECT_EQ(publisher_->RestoreState(state).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(publisher_->current().version(), 0u);
}

TEST_F(PolicyPublisherTest, AWorldThatGrowsFromOneBeginsToPlan) {
  Make("lgreco", 1);
  ASSERT_FALSE(publisher_->Initial(Window(0, 0, 3))->has_value());
  publisher_->OnNewWorld(2);
  EXPECT_TRUE(publisher_->Initial(Window(0, 0, 3))->has_value());
}

TEST_F(PolicyPublisherTest, AlphaFollowsItsScheduleByTheStepAtWhichThePlanTakesEffect) {
  proto::JobConfig job = DefaultJob(2);
  job.mutable_compression()->set_policy("lgreco");
  job.mutable_compression()->set_alpha_schedule("linear 0.5 2.5");
  publisher_ = *PolicyPublisher::Create(job, [this] { return now_; });
  proto::WindowStatistics window = Window(0, 99, 3);
  window.mutable_layers(0)->mutable_options(2)->set_squared_error(0.25);
  ASSERT_TRUE(publisher_->Prepare(210, window).ok());
  EXPECT_DOUBLE_EQ(window.alpha(), 1.5);  // step 105 of 210
  const auto policy = *publisher_->OnWindow(window);
  ASSERT_TRUE(policy.has_value());
  EXPECT_DOUBLE_EQ(policy->alpha(), 1.5);
  EXPECT_DOUBLE_EQ(policy->budget(), 1.5);
}

TEST_F(PolicyPublisherTest, WithoutAScheduleAWindowHasNoAlphaOfItsOwn) {
  Make("lgreco");
  proto::WindowStatistics window = Window(0, 99, 3);
  ASSERT_TRUE(publisher_->Prepare(210, window).ok());
  EXPECT_EQ(window.alpha(), 0);
  EXPECT_DOUBLE_EQ((*publisher_->OnWindow(window))->alpha(), 1);
}

TEST_F(PolicyPublisherTest, AScheduleThatCannotBeReadIsRefused) {
  proto::JobConfig job = DefaultJob(2);
  job.mutable_compression()->set_alpha_schedule("slowly");
  const auto refused = PolicyPublisher::Create(job, [this] { return now_; });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              testing::HasSubstr("compression.alpha_schedule: expected"));
}

TEST_F(PolicyPublisherTest, CorrectedErrorsGoOnFromACheckpoint) {
  proto::JobConfig job = DefaultJob(2);
  job.mutable_compression()->set_policy("lgreco");
  job.mutable_compression()->set_error_correction("on");
  // Layer 0 lost thrice as much as layer 1.
  const auto window = [](int64_t number, double lost) {
    proto::WindowStatistics two = Window(number, 100 * number + 99, 3);
    *two.add_layers() = two.layers(0);
    two.mutable_layers(1)->set_name("conv.weight");
    two.mutable_layers(0)->set_lost_squared_error(lost);
    two.mutable_layers(1)->set_lost_squared_error(2);
    return two;
  };
  publisher_ = *PolicyPublisher::Create(job, [this] { return now_; });
  ASSERT_TRUE(publisher_->Initial(window(0, 6)).ok());
  proto::WindowStatistics first = window(0, 6);
  ASSERT_TRUE(publisher_->Prepare(1000, first).ok());
  EXPECT_DOUBLE_EQ(first.layers(0).error_ratio(), 1.5);
  ASSERT_TRUE(publisher_->OnWindow(first).ok());

  const auto resumed = *PolicyPublisher::Create(job, [this] { return now_; });
  ASSERT_TRUE(resumed->RestoreState(*publisher_->SaveState(Step(100))).ok());
  proto::WindowStatistics a = window(1, 1), b = window(1, 1);
  ASSERT_TRUE(publisher_->Prepare(1000, a).ok());
  ASSERT_TRUE(resumed->Prepare(1000, b).ok());
  EXPECT_EQ(a.SerializeAsString(), b.SerializeAsString());
}

}  // namespace
}  // namespace sluice
