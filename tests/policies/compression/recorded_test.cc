#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Line(int version, int64_t step, const std::string& codec, int bytes = 77) {
  return "{\"version\":" + std::to_string(version) + ",\"effective_step\":" + std::to_string(step) +
         ",\"predicted_bytes\":" + std::to_string(bytes) + ",\"layers\":{\"fc.bias\":\"raw\"," +
         "\"fc.weight\":\"" + codec + "\"}}\n";
}

class RecordedPolicyTest : public testing::Test {
 protected:
  RecordedPolicyTest() {
    config_ = Config("recorded");
    config_.set_warmup_steps(50);
    config_.set_lead_steps(5);
    config_.set_plan_file(testing::TempDir() + "/plans.jsonl");
    *window_.add_layers() = QuantisedLayer(config_, "fc.weight", 4096, 1);
    *window_.add_layers() = RawLayer("fc.bias", 64);
  }

  absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> Make(const std::string& text) {
    std::ofstream(config_.plan_file()) << text;
    return CreateCompressionPolicy(config_);
  }

  // The bits of fc.weight in the plan that takes effect at `step`; 0 is raw.
  int BitsAt(CompressionPolicyMaker& maker, int64_t step) {
    window_.set_last_step(step - 6);
    return maker.Plan(window_)->layers(0).codec().bits();
  }

  proto::Compression config_;
  proto::WindowStatistics window_;
};

TEST_F(RecordedPolicyTest, PlaysTheNewestPlanThatIsNotLater) {
  auto maker =
      *Make(Line(1, 50, "maxmin4/512") + Line(2, 105, "maxmin3/512") + Line(3, 205, "maxmin2/512"));
  EXPECT_FALSE(maker->NeedsErrors());
  EXPECT_THAT(maker->LaterSteps(), ElementsAre(105, 205));
  EXPECT_EQ(BitsAt(*maker, 50), 4);
  EXPECT_EQ(BitsAt(*maker, 104), 4);
  EXPECT_EQ(BitsAt(*maker, 105), 3);
  EXPECT_EQ(BitsAt(*maker, 9999), 2);
}

TEST_F(RecordedPolicyTest, IsRawBeforeTheFirstPlan) {
  auto maker = *Make(Line(1, 60, "maxmin4/512"));
  EXPECT_EQ(BitsAt(*maker, 59), 0);
  EXPECT_THAT(maker->Plan(window_)->reason(), HasSubstr("begins later"));
  EXPECT_EQ(BitsAt(*maker, 60), 4);
}

TEST_F(RecordedPolicyTest, ALongerWarmUpSkipsThePlansThatItCovers) {
  config_.set_warmup_steps(150);
  auto maker =
      *Make(Line(1, 50, "maxmin4/512") + Line(2, 105, "maxmin3/512") + Line(3, 205, "maxmin2/512"));
  EXPECT_THAT(maker->LaterSteps(), ElementsAre(205));
  EXPECT_EQ(BitsAt(*maker, 50), 3) << "no plan takes effect before step 150";
}

TEST_F(RecordedPolicyTest, BytesAreThoseOfTheJobsOwnSizes) {
  auto maker = *Make(Line(1, 0, "maxmin4/512"));
  const auto plan = *maker->Plan(window_);
  EXPECT_DOUBLE_EQ(plan.predicted_bytes(),
                   Bytes(plan.layers(0).codec(), 4096) + Bytes(proto::CodecChoice(), 64));
  EXPECT_GT(plan.uniform_bytes(), 0);
}

TEST_F(RecordedPolicyTest, BytesOfACodecThatTheJobDoesNotKnowAreTheRecordedOnes) {
  auto maker = *Make(Line(1, 0, "topk1%/fp16"));
  const auto plan = *maker->Plan(window_);
  EXPECT_DOUBLE_EQ(plan.predicted_bytes(), 77);
  EXPECT_EQ(plan.layers(0).codec().kind(), proto::CODEC_TOP_K);
  EXPECT_EQ(plan.layers(1).codec().kind(), proto::CODEC_RAW);
}

TEST_F(RecordedPolicyTest, AnotherModelIsRefusedByName) {
  window_.mutable_layers(0)->set_name("conv.weight");
  auto maker = *Make(Line(1, 0, "maxmin4/512"));
  const absl::Status status = maker->Plan(window_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("lacks the model's layer \"conv.weight\""));
  *window_.add_layers() = RawLayer("more", 64);
  EXPECT_THAT(std::string(maker->Plan(window_).status().message()),
              HasSubstr("has 2 layers, the model has 3"));
}

TEST_F(RecordedPolicyTest, ACutOffLastLineIsLeftOutAndSaid) {
  auto maker = *Make(Line(1, 0, "maxmin4/512") + "{\"version\":2,");
  EXPECT_THAT(maker->LaterSteps(), ElementsAre());
  EXPECT_THAT(maker->Plan(window_)->reason(), HasSubstr("cut off"));
}

TEST_F(RecordedPolicyTest, AFileThatCannotBePlayedIsRefusedAtOnce) {
  EXPECT_THAT(std::string(Make("").status().message()), HasSubstr("has no plans"));
  EXPECT_THAT(std::string(Make(Line(1, 0, "maxmin99/512")).status().message()),
              HasSubstr("plans.jsonl:1"));
  config_.set_plan_file("/no/such/file");
  EXPECT_THAT(std::string(CreateCompressionPolicy(config_).status().message()),
              HasSubstr("/no/such/file"));
  config_.clear_plan_file();
  EXPECT_THAT(std::string(CreateCompressionPolicy(config_).status().message()),
              HasSubstr("compression.plan_file is empty"));
}

}  // namespace
}  // namespace sluice
