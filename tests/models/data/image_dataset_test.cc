#include "models/data/image_dataset.h"

#include <cmath>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::Each;
using testing::Ge;
using testing::Le;

// Image i of `count` has all pixels i + 1 and label i % 10.
ImageSet Plain(int64_t count, int64_t channels, int64_t side) {
  ImageSet set;
  set.count = count;
  set.format = {channels,
                side,
                side,
                10,
                std::vector<float>(channels, 0),
                std::vector<float>(channels, 1.0f / 255)};
  for (int64_t i = 0; i < count; ++i) {
    set.pixels.insert(set.pixels.end(), set.format.pixels(), static_cast<uint8_t>(i + 1));
    set.labels.push_back(static_cast<uint8_t>(i % 10));
  }
  return set;
}

std::unique_ptr<Dataset> InMemory(ImageSet set, const ImageAugmentation& augmentation = {}) {
  const ImageFormat format = set.format;
  return MakeImageDataset(MakeMemorySource(std::move(set)), format, augmentation);
}

std::vector<int64_t> Range(int64_t begin, int64_t end) {
  std::vector<int64_t> range;
  for (int64_t i = begin; i < end; ++i) range.push_back(i);
  return range;
}

template <class T>
std::vector<T> Values(const at::Tensor& tensor) {
  return {tensor.data_ptr<T>(), tensor.data_ptr<T>() + tensor.numel()};
}

TEST(ImageDataset, SamplesComeNormalisedAndInTheOrderAsked) {
  ImageSet set;
  set.count = 3;
  set.format = {1, 2, 2, 10, {0.25f}, {0.5f}};
  set.pixels = {0, 0, 0, 0, 255, 0, 0, 51, 1, 2, 3, 4};
  set.labels = {5, 6, 7};
  const auto dataset = InMemory(set);
  EXPECT_EQ(dataset->shape().input, (std::vector<int64_t>{1, 2, 2}));
  const Batch batch = *dataset->Make(std::vector<int64_t>{1, 0, 1}, std::nullopt);
  EXPECT_EQ(batch.inputs[0].sizes(), (std::vector<int64_t>{3, 1, 2, 2}));
  EXPECT_EQ(batch.targets.sizes(), (std::vector<int64_t>{3}));
  const float expected[] = {1.5f,  -0.5f, -0.5f, -0.1f, -0.5f, -0.5f,
                            -0.5f, -0.5f, 1.5f,  -0.5f, -0.5f, -0.1f};
  for (int i = 0; i < 12; ++i)
    EXPECT_NEAR(batch.inputs[0].data_ptr<float>()[i], expected[i], 1e-6) << i;
  EXPECT_EQ(Values<int64_t>(batch.targets), (std::vector<int64_t>{6, 5, 6}));
}

TEST(ImageDataset, EveryChannelHasItsOwnNormalisation) {
  ImageSet set;
  set.count = 1;
  set.format = {3, 1, 1, 10, {0, 0.5f, 1}, {1, 0.5f, 0.25f}};
  set.pixels = {255, 255, 0};
  set.labels = {0};
  const Batch batch = *InMemory(set)->Make(std::vector<int64_t>{0}, std::nullopt);
  EXPECT_EQ(Values<float>(batch.inputs[0]), (std::vector<float>{1, 1, -4}));
}

TEST(ImageDataset, NoIndicesGiveAnEmptyBatch) {
  const Batch batch = *InMemory(Plain(1, 1, 28))->Make({}, std::nullopt);
  EXPECT_EQ(batch.inputs[0].numel(), 0);
  EXPECT_EQ(batch.targets.numel(), 0);
}

TEST(ImageDataset, WithoutAnAugmentationNothingIsDrawn) {
  const auto dataset = InMemory(Plain(20, 3, 8), {4, true, 0.2});
  const Batch batch = *dataset->Make(Range(0, 20), std::nullopt);
  EXPECT_FALSE(batch.weights.defined());
  EXPECT_FALSE(batch.mixed_targets.defined());
  const Batch plain = *InMemory(Plain(20, 3, 8))->Make(Range(0, 20), std::nullopt);
  EXPECT_TRUE(batch.inputs[0].equal(plain.inputs[0]));
}

TEST(ImageDataset, MixedSamplesAreTheWeightedSumOfBoth) {
  const auto dataset = InMemory(Plain(200, 1, 2), {0, false, 0.5});
  const Batch batch = *dataset->Make(Range(0, 200), Augmentation{RandomKey(1), 0});
  const auto weights = Values<float>(batch.weights);
  EXPECT_THAT(weights, Each(Ge(0)));
  EXPECT_THAT(weights, Each(Le(1)));
  int foreign = 0;
  for (int64_t i = 0; i < 200; ++i) {
    // A pixel of image j is j + 1, so the partner follows from the sum; its label has to fit.
    const float w = weights[i];
    const float shown = batch.inputs[0].data_ptr<float>()[i * 4];
    if (w > 0.99f) continue;
    const double partner = (shown - w * static_cast<float>(i + 1)) / (1 - w) - 1;
    EXPECT_NEAR(partner, std::round(partner), 0.02) << i;
    EXPECT_EQ(batch.mixed_targets.data_ptr<int64_t>()[i],
              static_cast<int64_t>(std::round(partner)) % 10);
    foreign += std::round(partner) != i;
  }
  EXPECT_GT(foreign, 100);
}

// What a rank draws for a position does not depend on where its slice begins.
TEST(ImageDataset, AugmentationIsTheSameForEveryWorldSize) {
  ImageSet set = Plain(64, 3, 8);
  for (size_t i = 0; i < set.pixels.size(); ++i) set.pixels[i] = static_cast<uint8_t>(i * 37);
  const auto dataset = InMemory(set, {2, true, 0.4});
  const std::vector<int64_t> indices = {5, 9, 1, 63, 5, 5, 0, 40, 41, 42, 7, 8, 33};
  const int64_t n = static_cast<int64_t>(indices.size()), step = 11;
  const Batch whole = *dataset->Make(indices, Augmentation{RandomKey(3), step * n});
  for (int64_t world : {1, 2, 3, 5, 13}) {
    for (int64_t r = 0; r < world; ++r) {
      const int64_t begin = n * r / world, size = n * (r + 1) / world - begin;
      const Batch part = *dataset->Make(absl::MakeConstSpan(indices).subspan(begin, size),
                                        Augmentation{RandomKey(3), step * n + begin});
      EXPECT_TRUE(part.inputs[0].equal(whole.inputs[0].narrow(0, begin, size)));
      EXPECT_TRUE(part.targets.equal(whole.targets.narrow(0, begin, size)));
      EXPECT_TRUE(part.mixed_targets.equal(whole.mixed_targets.narrow(0, begin, size)));
      EXPECT_TRUE(part.weights.equal(whole.weights.narrow(0, begin, size)));
    }
  }
}

TEST(ImageDataset, ASampleIsChangedOtherwiseInEveryEpoch) {
  ImageSet set = Plain(1, 1, 8);
  for (size_t i = 0; i < set.pixels.size(); ++i) set.pixels[i] = static_cast<uint8_t>(i);
  const auto dataset = InMemory(set, {4, true, 0});
  const std::vector<int64_t> first = {0};
  int same = 0;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const Batch a = *dataset->Make(first, Augmentation{RandomKey(1), epoch});
    const Batch b = *dataset->Make(first, Augmentation{RandomKey(1), epoch + 1});
    same += a.inputs[0].equal(b.inputs[0]);
  }
  EXPECT_LT(same, 5);
}

}  // namespace
}  // namespace sluice
