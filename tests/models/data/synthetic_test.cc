#include "models/data/synthetic.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "gtest/gtest.h"

namespace sluice {
namespace {

SyntheticOptions Small() {
  SyntheticOptions options;
  options.channels = 2;
  options.side = 16;
  options.classes = 9;
  options.samples = 500;
  return options;
}

std::vector<uint8_t> Image(const ImageSource& source, int64_t index) {
  std::vector<uint8_t> scratch;
  const uint8_t* pixels = *source.Pixels(index, scratch);
  return {pixels, pixels + source.format().pixels()};
}

// Mean of the images of each class.
std::map<int64_t, std::vector<double>> Centres(const ImageSource& source) {
  std::map<int64_t, std::vector<double>> centres;
  std::map<int64_t, int> count;
  for (int64_t i = 0; i < source.size(); ++i) ++count[source.Label(i)];
  for (int64_t i = 0; i < source.size(); ++i) {
    auto& centre = centres[source.Label(i)];
    centre.resize(source.format().pixels());
    const auto image = Image(source, i);
    for (size_t p = 0; p < image.size(); ++p)
      centre[p] += image[p] / double(count[source.Label(i)]);
  }
  return centres;
}

int64_t Nearest(const std::map<int64_t, std::vector<double>>& centres,
                const std::vector<uint8_t>& image) {
  int64_t nearest = -1;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [label, centre] : centres) {
    double distance = 0;
    for (size_t p = 0; p < image.size(); ++p) distance += std::pow(centre[p] - image[p], 2);
    if (distance < least) {
      least = distance;
      nearest = label;
    }
  }
  return nearest;
}

double AccuracyOfCentres(const SyntheticOptions& options) {
  const auto train = MakeSyntheticSource(options, Split::kTrain);
  const auto test = MakeSyntheticSource(options, Split::kTest);
  const auto centres = Centres(*train);
  int correct = 0;
  for (int64_t i = 0; i < test->size(); ++i) {
    correct += Nearest(centres, Image(*test, i)) == test->Label(i);
  }
  return correct / static_cast<double>(test->size());
}

TEST(Synthetic, WhatIsLearntFromTheTrainingSetHoldsForTheTestSet) {
  EXPECT_GT(AccuracyOfCentres(Small()), 0.9);
}

TEST(Synthetic, AllNoiseCannotBeLearnt) {
  SyntheticOptions options = Small();
  options.noise = 1;
  EXPECT_LT(AccuracyOfCentres(options), 0.25);
}

TEST(Synthetic, WithTwoInputsTheImageAloneIsNotEnough) {
  SyntheticOptions options = Small();
  options.two_inputs = true;
  EXPECT_LT(AccuracyOfCentres(options), 0.5);  // one of three, at best
  EXPECT_GT(AccuracyOfCentres(options), 0.2);
}

TEST(Synthetic, FeaturesTellTheRestOfTheClass) {
  SyntheticOptions options = Small();
  options.noise = 0;
  std::set<std::vector<float>> seen;
  for (int64_t label = 0; label < 9; ++label) {
    const auto features = SyntheticFeatures(options, Split::kTrain, 5, label);
    ASSERT_EQ(features.size(), 16u);
    EXPECT_EQ(features, SyntheticFeatures(options, Split::kTest, 77, label % 3));
    seen.insert(features);
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST(Synthetic, SamplesAreAFunctionOfTheSeedTheSplitAndTheIndex) {
  SyntheticOptions options = Small();
  const auto source = MakeSyntheticSource(options, Split::kTrain);
  const auto image = Image(*source, 3);
  EXPECT_EQ(Image(*MakeSyntheticSource(options, Split::kTrain), 3), image);
  EXPECT_NE(Image(*source, 4), image);
  EXPECT_NE(Image(*MakeSyntheticSource(options, Split::kTest), 3), image);
  options.seed = 2;
  EXPECT_NE(Image(*MakeSyntheticSource(options, Split::kTrain), 3), image);
}

TEST(Synthetic, EveryClassIsThere) {
  const auto source = MakeSyntheticSource(Small(), Split::kTrain);
  std::map<int64_t, int> count;
  for (int64_t i = 0; i < source->size(); ++i) ++count[source->Label(i)];
  EXPECT_EQ(count.size(), 9u);
  EXPECT_EQ(count.begin()->first, 0);
  EXPECT_EQ(count.rbegin()->first, 8);
}

}  // namespace
}  // namespace sluice
