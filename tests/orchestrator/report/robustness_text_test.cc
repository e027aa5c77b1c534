#include "orchestrator/report/robustness_text.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using ::testing::HasSubstr;

RobustnessReport Report() {
  RobustnessReport report;
  report.counts = {200, 190, 150, 120, 110, 100};
  LayerSpectrum layer;
  layer.layer = "fc1.weight";
  layer.rows = 3;
  layer.cols = 4;
  layer.sigma_max = 2;
  layer.lipschitz = 6;
  layer.kappa = std::numeric_limits<double>::infinity();
  report.spectra = {layer};
  report.alarms = {"odd"};
  return report;
}

TEST(RobustnessText, HasSharesAndAlarms) {
  const std::string text = RobustnessText(Report(), 0.03);
  EXPECT_THAT(text, HasSubstr("200 test images, eps 0.03 of the pixels' range\n"));
  EXPECT_THAT(text, HasSubstr("worst_case    50.00 %"));
  EXPECT_THAT(text, HasSubstr("doubtful: odd"));
}

TEST(RobustnessText, JsonHasCountsAndWritesInfinityAsText) {
  const auto json = nlohmann::json::parse(RobustnessJson(Report(), "ckpt", 0.03));
  EXPECT_EQ(json["right"]["pgd20"], 120);
  EXPECT_EQ(json["layers"][0]["kappa"], "inf");
  EXPECT_EQ(json["checkpoint"], "ckpt");
}

TEST(RobustnessText, HasABoundOfEveryLayer) {
  RobustnessReport report = Report();
  for (const bool complete : {true, false}) {
    report.spectra[0].complete = complete;
    EXPECT_THAT(RobustnessText(report, 0.03), HasSubstr("<=6\n"));
    EXPECT_EQ(nlohmann::json::parse(RobustnessJson(report, "ckpt", 0.03))["layers"][0]["lipschitz"], 6);
  }
}

TEST(RobustnessText, WhatIsUnknownOfLargeLayersIsLeftOut) {
  RobustnessReport report = Report();
  report.spectra[0].complete = false;
  const auto json = nlohmann::json::parse(RobustnessJson(report, "ckpt", 0.03));
  EXPECT_EQ(json["layers"][0].count("kappa"), 0u);
  EXPECT_THAT(RobustnessText(report, 0.03), HasSubstr(">=2"));
}

}  // namespace
}  // namespace sluice
