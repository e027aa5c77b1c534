#include "models/data/token_dataset.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Datasets> Load(const std::string& text, int64_t context, double test_share) {
  const std::string path = FreshFolder("text") + "/file";
  Spill(path, text);
  TokenOptions options;
  options.context = context;
  options.test_share = test_share;
  return LoadTokens(path, options);
}

std::vector<int64_t> Values(const at::Tensor& tensor) {
  return {tensor.data_ptr<int64_t>(), tensor.data_ptr<int64_t>() + tensor.numel()};
}

std::vector<int64_t> Ids(const std::string& text) { return {text.begin(), text.end()}; }

TEST(TokenDataset, ASampleIsAPassageAndItsTargetsAreTheNextTokens) {
  const auto sets = Load("abcdefghijklmnopqrstuvwxyz", 3, 0.2);  // the last 5 are for testing
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_EQ(sets->train->size(), 5);
  EXPECT_EQ(sets->test->size(), 1);
  EXPECT_THAT(sets->train->shape().input, ElementsAre(3));
  EXPECT_EQ(sets->train->shape().classes, 256);
  EXPECT_TRUE(sets->train->shape().target_per_position);
  const Batch batch = *sets->train->Make(std::vector<int64_t>{4, 0}, std::nullopt);
  EXPECT_THAT(batch.inputs[0].sizes(), ElementsAre(2, 3));
  EXPECT_EQ(Values(batch.inputs[0]), Ids("qrsabc"));
  EXPECT_EQ(Values(batch.targets), Ids("rstbcd"));
  const Batch test = *sets->test->Make(std::vector<int64_t>{0}, std::nullopt);
  EXPECT_EQ(Values(test.inputs[0]), Ids("vwx"));
}

// The passages of both splits are disjoint.
TEST(TokenDataset, NoTokenIsTrainedOnAndTestedOn) {
  std::string text;
  for (int i = 0; i < 200; ++i) text.push_back(static_cast<char>(i));
  for (int64_t context : {1, 2, 7, 30}) {
    const auto sets = Load(text, context, 0.3);
    ASSERT_TRUE(sets.ok()) << sets.status();
    std::vector<int> seen(200);
    for (const Dataset* set : {sets->train.get(), sets->test.get()}) {
      for (int64_t i = 0; i < set->size(); ++i) {
        const Batch batch = *set->Make(std::vector<int64_t>{i}, std::nullopt);
        ++seen[Values(batch.inputs[0])[0]];
        for (int64_t id : Values(batch.targets)) ++seen[id];
      }
    }
    EXPECT_THAT(seen, testing::Each(testing::Le(1))) << "context " << context;
  }
}

TEST(TokenDataset, TooShortATextNamesWhatIsMissing) {
  for (const std::string text : {"", "abc", "abcdefghijk"}) {
    const auto sets = Load(text, 4, 0.5);
    if (text.size() == 11) {
      EXPECT_TRUE(sets.ok()) << sets.status();
      continue;
    }
    EXPECT_EQ(sets.status().code(), absl::StatusCode::kDataLoss);
    const std::string message(sets.status().message());
    EXPECT_THAT(message, HasSubstr("/file: " + std::to_string(text.size()) + " tokens"));
    EXPECT_THAT(message, HasSubstr("at least 5 of each"));
  }
}

TEST(TokenDataset, PerlsManualIsAFewMegabytesOfText) {
  const auto sets = LoadTokens("/usr/share/perl/5.36/pod", {});
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_GT(sets->train->size() * 129, 8'000'000);
}

}  // namespace
}  // namespace sluice
