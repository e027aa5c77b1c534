#include "orchestrator/report/pruned_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using ::testing::HasSubstr;

PrunedNetwork Half() {
  PrunedNetwork pruned;
  pruned.layers = {{"conv1.weight", 32, 16}, {"fc1.weight", 512, 512}};
  pruned.erased = {{"cell.wide", 36}};
  pruned.parameters_before = 1000;
  pruned.parameters = 400;
  pruned.macs_before = 9000;
  pruned.macs = 3000;
  pruned.difference = 2e-7;
  return pruned;
}

TEST(PrunedText, HasALinePerLayerAndTheWholeBesideWhatItWas) {
  const std::string text = PrunedText(Half(), "ckpt/step_00000040", "smaller.pt");
  EXPECT_THAT(text, HasSubstr("conv1.weight        16        32\n"));
  EXPECT_THAT(text, HasSubstr("parameters 400 of 1000 (x2.50)"));
  EXPECT_THAT(text, HasSubstr("3000 of 9000 (x3.00)"));
  EXPECT_THAT(text, HasSubstr("smaller.pt computes the same, to 2.0e-07"));
}

TEST(PrunedText, NamesWhatIsGoneAsAWhole) {
  EXPECT_THAT(PrunedText(Half(), "ckpt/step_00000040", "smaller.pt"),
              HasSubstr("cell.wide       erased, with 36 parameters\n"));
}

TEST(PrunedText, JsonHasTheSame) {
  const auto json = nlohmann::json::parse(PrunedJson(Half(), "ckpt/step_00000040", "smaller.pt"));
  EXPECT_EQ(json["parameters"], 400);
  EXPECT_EQ(json["macs_before"], 9000);
  EXPECT_EQ(json["layers"][0]["name"], "conv1.weight");
  EXPECT_EQ(json["layers"][0]["kept"], 16);
  EXPECT_EQ(json["of_average"], false);
  EXPECT_EQ(json["erased"][0]["name"], "cell.wide");
  EXPECT_EQ(json["erased"][0]["parameters"], 36);
}

}  // namespace
}  // namespace sluice
