// LoadDatasets: from the job's keys to batches.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/data/dataset.h"
#include "tests/models/data/synthetic_idx.h"
#include "tests/models/data/test_folder.h"
#include "tests/models/data/test_images.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

proto::Data Job(const std::string& dataset, const std::string& path) {
  proto::Data data;
  data.set_dataset(dataset);
  data.set_path(path);
  data.set_crop_padding(4);
  data.set_mixup_alpha(0.2);
  data.set_classes(10);
  data.set_emnist_split("balanced");
  data.set_side(16);
  data.set_channels(2);
  data.set_samples(100);
  data.set_noise(0.5);
  data.set_seed(1);
  data.set_inputs(1);
  data.set_context(8);
  data.set_test_share(0.25);
  data.set_token_type("uint16");
  return data;
}

std::string MessageOf(const proto::Data& data, absl::StatusCode code) {
  const auto sets = LoadDatasets(data);
  EXPECT_EQ(sets.status().code(), code) << sets.status();
  return std::string(sets.status().message());
}

Batch First(const Dataset& set, const std::optional<Augmentation>& augmentation = std::nullopt) {
  const auto batch = set.Make(std::vector<int64_t>{0, 1}, augmentation);
  EXPECT_TRUE(batch.ok()) << batch.status();
  return *batch;
}

TEST(LoadDatasets, FashionMnistIsWhereDebianPutsIt) {
  const auto sets = LoadDatasets(Job("fashion_mnist", ""));
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_EQ(sets->train->size(), 60000);
  EXPECT_EQ(sets->test->size(), 10000);
  EXPECT_THAT(sets->train->shape().input, ElementsAre(1, 28, 28));
}

TEST(LoadDatasets, OtherSetsNeedAPath) {
  EXPECT_THAT(MessageOf(Job("cifar10", ""), absl::StatusCode::kInvalidArgument),
              HasSubstr("data.dataset cifar10, data.path \"\": it has no usual place"));
}

TEST(LoadDatasets, AnUnknownSetIsRefused) {
  EXPECT_THAT(MessageOf(Job("imagenet", "/x"), absl::StatusCode::kInvalidArgument),
              HasSubstr("data.dataset imagenet"));
}

TEST(LoadDatasets, IdxFilesWithoutKnownMomentsAreMeasured) {
  const std::string path = FreshFolder("idx");
  for (const std::string prefix : {"/train-", "/t10k-"}) {
    WriteTestFile(path + prefix + "images-idx3-ubyte",
                  EncodeIdx({2, 1, 2}, prefix == "/train-" ? std::vector<uint8_t>{0, 255, 255, 0}
                                                           : std::vector<uint8_t>{255, 255, 0, 0}));
    WriteTestFile(path + prefix + "labels-idx1-ubyte", EncodeIdx({2}, {0, 9}));
  }
  const auto sets = LoadDatasets(Job("idx", path));
  ASSERT_TRUE(sets.ok()) << sets.status();
  // (0 and 1 - 0.5) / 0.5, also where the test set has other moments.
  const at::Tensor test = First(*sets->test).inputs[0];
  EXPECT_FLOAT_EQ(test.data_ptr<float>()[1], 1);
  EXPECT_FLOAT_EQ(test.data_ptr<float>()[2], -1);
}

TEST(LoadDatasets, TheJobsMomentsReplaceTheSets) {
  proto::Data data = Job("synthetic", "");
  data.add_mean(0);
  data.add_deviation(1.0 / 255);
  data.add_deviation(1.0 / 255);
  const auto sets = LoadDatasets(data);
  ASSERT_TRUE(sets.ok()) << sets.status();
  const at::Tensor pixels = First(*sets->train).inputs[0];
  EXPECT_GT(pixels.max().item<float>(), 200);
  EXPECT_TRUE(pixels.sub(pixels.round()).abs().max().item<float>() < 1e-3);
}

TEST(LoadDatasets, MomentsForAnotherNumberOfChannelsAreRefused) {
  proto::Data data = Job("synthetic", "");
  for (int i = 0; i < 3; ++i) data.add_mean(0.5);
  EXPECT_THAT(MessageOf(data, absl::StatusCode::kInvalidArgument),
              HasSubstr("data.mean has 3 values, expected 1 or 2"));
}

TEST(LoadDatasets, OnlyTrainingImagesAreChanged) {
  proto::Data data = Job("synthetic", "");
  for (const char* change : {"crop", "flip", "mixup"}) data.add_augment(change);
  const auto sets = LoadDatasets(data);
  ASSERT_TRUE(sets.ok()) << sets.status();
  const Augmentation draw{RandomKey(1), 0};
  EXPECT_TRUE(First(*sets->train, draw).weights.defined());
  EXPECT_FALSE(First(*sets->train, draw).inputs[0].equal(First(*sets->train).inputs[0]));
  EXPECT_FALSE(First(*sets->test, draw).weights.defined());
  EXPECT_TRUE(First(*sets->test, draw).inputs[0].equal(First(*sets->test).inputs[0]));
}

TEST(LoadDatasets, SyntheticSamplesHaveTheShapeAsked) {
  const auto sets = LoadDatasets(Job("synthetic", ""));
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_EQ(sets->train->size(), 100);
  EXPECT_EQ(sets->test->size(), 25);
  EXPECT_THAT(sets->train->shape().input, ElementsAre(2, 16, 16));
  EXPECT_TRUE(sets->train->shape().more_inputs.empty());
  EXPECT_THAT(First(*sets->train).inputs[0].sizes(), ElementsAre(2, 2, 16, 16));
}

TEST(LoadDatasets, TwoInputsAreAnImageAndAVector) {
  proto::Data data = Job("synthetic", "");
  data.set_inputs(2);
  const auto sets = LoadDatasets(data);
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_THAT(sets->train->shape().more_inputs, ElementsAre(ElementsAre(16)));
  const Batch batch = First(*sets->train);
  ASSERT_EQ(batch.inputs.size(), 2u);
  EXPECT_THAT(batch.inputs[1].sizes(), ElementsAre(2, 16));
}

TEST(LoadDatasets, TokensHaveTheJobsVocabularyAndContext) {
  const std::string path = FreshFolder("tokens") + "/ids";
  Spill(path, std::string(200, '\1'));
  proto::Data data = Job("tokens", path);
  data.set_vocabulary(300);
  const auto sets = LoadDatasets(data);
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_EQ(sets->train->size(), 75 / 9);
  EXPECT_EQ(sets->test->size(), 25 / 9);
  EXPECT_EQ(sets->train->shape().classes, 300);
  data.set_vocabulary(257);
  EXPECT_THAT(MessageOf(data, absl::StatusCode::kDataLoss), HasSubstr("token 0 is 257"));
  data.set_dataset("bytes");
  EXPECT_EQ(LoadDatasets(data)->train->shape().classes, 256);
}

TEST(LoadDatasets, FoldersOfImagesHaveTheSideAsked) {
  const std::string path = FreshFolder("images");
  for (const std::string split : {"/train", "/test"}) {
    for (const std::string name : {"/a/1.png", "/b/1.jpg"}) {
      Spill(path + split + name, EncodeJpeg(PlainImage(40, 30, 1, 2, 3)));
    }
  }
  const auto sets = LoadDatasets(Job("images", path));
  ASSERT_TRUE(sets.ok()) << sets.status();
  EXPECT_THAT(sets->train->shape().input, ElementsAre(3, 16, 16));
  EXPECT_EQ(sets->train->shape().classes, 2);
  EXPECT_THAT(First(*sets->test).inputs[0].sizes(), ElementsAre(2, 3, 16, 16));
}

TEST(LoadDatasets, ErrorsNameTheSetAndThePath) {
  EXPECT_THAT(MessageOf(Job("mnist", "/nowhere"), absl::StatusCode::kNotFound),
              HasSubstr("data.dataset mnist, data.path \"/nowhere\": mnist: no /nowhere/train-"));
  EXPECT_THAT(MessageOf(Job("cifar100", "/nowhere"), absl::StatusCode::kNotFound),
              HasSubstr("no /nowhere/train.bin"));
  EXPECT_THAT(MessageOf(Job("images", "/nowhere"), absl::StatusCode::kNotFound),
              HasSubstr("no folder /nowhere/train"));
  EXPECT_THAT(MessageOf(Job("bytes", "/nowhere"), absl::StatusCode::kNotFound),
              HasSubstr("list /nowhere"));
}

}  // namespace
}  // namespace sluice
