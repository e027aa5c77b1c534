#include "models/graph/network_analysis.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/graph/analysis_report.h"
#include "nlohmann/json.hpp"

namespace sluice::graph {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

AnalysisRequest Fixture(const std::string& name) {
  AnalysisRequest request;
  request.model.set_torchscript("tests/models/torchscript/" + name + ".pt");
  request.examples = {{1, 28, 28}};
  request.options.divisor = 1;
  return request;
}

NetworkAnalysis Cnn() {
  const auto analysis = AnalyseNetwork(Fixture("cnn"));
  EXPECT_TRUE(analysis.ok()) << analysis.status();
  return *analysis;
}

// 16 and 32 channels, 64 neurons; the 10 classes are the output.
TEST(NetworkAnalysis, FindsTheChannelsOfACnn) {
  const NetworkAnalysis cnn = Cnn();
  std::vector<int64_t> prunable, kept;
  for (const ChannelClass& channels : cnn.classes) {
    (channels.prunable() ? prunable : kept).push_back(channels.extent);
  }
  EXPECT_THAT(prunable, testing::ElementsAre(16, 32, 64));
  EXPECT_THAT(kept, testing::Contains(10));
  EXPECT_EQ(cnn.parameters, 16 * 9 + 16 + 32 * 16 * 9 + 32 + 64 * 1568 + 64 + 640 + 10);
  EXPECT_EQ(cnn.macs, 784 * 16 * 9 + 196 * 32 * 16 * 9 + 1568 * 64 + 640);
}

TEST(NetworkAnalysis, CountsWhatWouldBeLeft) {
  const NetworkAnalysis cnn = Cnn();
  ASSERT_EQ(cnn.smaller.size(), 3u);
  const auto& half = cnn.smaller[1];
  EXPECT_EQ(half.share, 0.5);
  EXPECT_EQ(half.parameters, 8 * 9 + 8 + 16 * 8 * 9 + 16 + 32 * 784 + 32 + 320 + 10);
  EXPECT_EQ(half.macs, 784 * 8 * 9 + 196 * 16 * 8 * 9 + 784 * 32 + 320);
}

TEST(NetworkAnalysis, KeepsWhatItIsToldTo) {
  AnalysisRequest request = Fixture("cnn");
  request.options.keep = {"conv1.*"};
  const auto analysis = AnalyseNetwork(request);
  ASSERT_TRUE(analysis.ok()) << analysis.status();
  EXPECT_FALSE(analysis->classes[0].prunable());
  EXPECT_TRUE(analysis->classes[1].prunable());
}

TEST(NetworkAnalysis, TakesANetworkOfTheZooByName) {
  AnalysisRequest request;
  request.model.set_name("gpt");
  request.model.set_width(24);
  request.model.set_heads(3);
  request.model.set_depth(1);
  request.examples = {{8}};
  request.classes = 32;
  request.options.divisor = 1;
  const auto analysis = AnalyseNetwork(request);
  ASSERT_TRUE(analysis.ok()) << analysis.status();
  EXPECT_EQ(analysis->name, "gpt");
  EXPECT_TRUE(analysis->unsupported.empty()) << analysis->unsupported[0];
}

TEST(NetworkAnalysis, ExamplesMustBeThereAndMakeSense) {
  AnalysisRequest request = Fixture("cnn");
  request.examples = {};
  EXPECT_THAT(AnalyseNetwork(request).status().ToString(),
              HasSubstr("without the shapes of its inputs"));
  request.examples = {{1, 0, 28}};
  EXPECT_THAT(AnalyseNetwork(request).status().ToString(), HasSubstr("above 0, got 0"));
}

TEST(AnalysisReport, TextHasALinePerClass) {
  EXPECT_THAT(AnalysisText(Cnn()),
              AllOf(StartsWith("tests/models/torchscript/cnn.pt: 105866 parameters"),
                    HasSubstr("conv1.weight <- conv2.weight\n"),
                    HasSubstr("3 of 4 classes can be pruned\n"), HasSubstr("112 units that hold"),
                    HasSubstr("without 50 % of each: ")));
}

TEST(AnalysisReport, JsonHasTheSame) {
  const auto json = nlohmann::json::parse(AnalysisJson(Cnn()));
  EXPECT_EQ(json["parameters"], 105866);
  EXPECT_EQ(json["classes"][0]["makers"][0], "conv1.weight");
  EXPECT_EQ(json["classes"][0]["prunable"], true);
  EXPECT_EQ(json["without"].size(), 3u);
}

}  // namespace
}  // namespace sluice::graph
