#include "models/data/image_dataset.h"

#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(ImageDataset, SamplesComeNormalisedAndInTheOrderAsked) {
  ImageSet set;
  set.count = 3;
  set.height = 2;
  set.width = 2;
  set.pixels = {0, 0, 0, 0, 255, 0, 0, 51, 1, 2, 3, 4};
  set.labels = {5, 6, 7};
  set.mean = 0.25f;
  set.standard_deviation = 0.5f;
  set.classes = 10;
  const auto dataset = MakeImageDataset(set);
  EXPECT_EQ(dataset->shape().input, (std::vector<int64_t>{1, 2, 2}));
  const Batch batch = *dataset->Make(std::vector<int64_t>{1, 0, 1}, std::nullopt);
  EXPECT_EQ(batch.inputs[0].sizes(), (std::vector<int64_t>{3, 1, 2, 2}));
  EXPECT_EQ(batch.targets.sizes(), (std::vector<int64_t>{3}));
  const float expected[] = {1.5f,  -0.5f, -0.5f, -0.1f, -0.5f, -0.5f,
                            -0.5f, -0.5f, 1.5f,  -0.5f, -0.5f, -0.1f};
  for (int i = 0; i < 12; ++i)
    EXPECT_NEAR(batch.inputs[0].data_ptr<float>()[i], expected[i], 1e-6) << i;
  const int64_t labels[] = {6, 5, 6};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(batch.targets.data_ptr<int64_t>()[i], labels[i]);
}

TEST(ImageDataset, NoIndicesGiveAnEmptyBatch) {
  ImageSet set;
  set.height = set.width = 28;
  const Batch batch = *MakeImageDataset(set)->Make({}, std::nullopt);
  EXPECT_EQ(batch.inputs[0].numel(), 0);
  EXPECT_EQ(batch.targets.numel(), 0);
}

}  // namespace
}  // namespace sluice
