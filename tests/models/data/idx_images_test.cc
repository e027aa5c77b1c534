#include "models/data/idx_images.h"

#include <functional>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/synthetic_idx.h"
#include "tests/models/data/test_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const IdxImages kFashion = IdxImagesOf("fashion_mnist", "", 0);

void WriteTrain(const std::string& directory, const std::vector<int64_t>& shape,
                const std::vector<uint8_t>& labels) {
  const int64_t bytes =
      std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  WriteTestFile(directory + "/train-images-idx3-ubyte.gz",
                EncodeIdx(shape, std::vector<uint8_t>(bytes)));
  WriteTestFile(directory + "/train-labels-idx1-ubyte.gz",
                EncodeIdx({static_cast<int64_t>(labels.size())}, labels));
}

void WriteTest(const std::string& directory, const std::string& prefix,
               const std::vector<int64_t>& shape, const std::vector<uint8_t>& pixels,
               const std::vector<uint8_t>& labels) {
  WriteTestFile(directory + "/" + prefix + "images-idx3-ubyte", EncodeIdx(shape, pixels));
  WriteTestFile(directory + "/" + prefix + "labels-idx1-ubyte",
                EncodeIdx({static_cast<int64_t>(labels.size())}, labels));
}

void ExpectDataLoss(const IdxImages& images, const std::string& directory,
                    const std::string& what) {
  const auto set = LoadIdxImages(images, directory, Split::kTrain);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kDataLoss) << set.status();
  EXPECT_THAT(std::string(set.status().message()), HasSubstr(directory));
  EXPECT_THAT(std::string(set.status().message()), HasSubstr(what));
}

TEST(IdxImages, FashionMnistOfDebianHasTheKnownSizesAndMoments) {
  auto train = LoadIdxImages(kFashion, "/usr/share/datasets/fashion-mnist", Split::kTrain);
  ASSERT_TRUE(train.ok()) << train.status();
  EXPECT_EQ(train->count, 60000);
  EXPECT_EQ(train->pixels.size(), 60000u * 28 * 28);
  const auto test = LoadIdxImages(kFashion, "/usr/share/datasets/fashion-mnist", Split::kTest);
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_EQ(test->count, 10000);

  const ImageFormat known = train->format;
  MeasureImages(*train);
  EXPECT_NEAR(train->format.mean[0], known.mean[0], 5e-4);
  EXPECT_NEAR(train->format.deviation[0], known.deviation[0], 5e-4);
}

TEST(IdxImages, PlainFilesAreReadToo) {
  const std::string directory = FreshFolder("plain");
  WriteTest(directory, "t10k-", {1, 28, 28}, std::vector<uint8_t>(784, 9), {4});
  const auto set = LoadIdxImages(IdxImagesOf("mnist", "", 0), directory, Split::kTest);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->labels[0], 4);
  EXPECT_EQ(set->pixels[783], 9);
}

TEST(IdxImages, EmnistHasColumnsForRowsAndLettersFromOne) {
  const std::string directory = FreshFolder("emnist");
  std::vector<uint8_t> pixels(784);
  pixels[1] = 200;  // second place of the first column
  WriteTest(directory, "emnist-letters-train-", {1, 28, 28}, pixels, {26});
  const auto set = LoadIdxImages(IdxImagesOf("emnist", "letters", 0), directory, Split::kTrain);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->format.classes, 26);
  EXPECT_EQ(set->labels[0], 25);
  EXPECT_EQ(set->pixels[1], 0);
  EXPECT_EQ(set->pixels[28], 200);
}

TEST(IdxImages, EmnistsLettersHaveNoZero) {
  const std::string directory = FreshFolder("letters");
  WriteTest(directory, "emnist-letters-train-", {1, 28, 28}, std::vector<uint8_t>(784), {0});
  ExpectDataLoss(IdxImagesOf("emnist", "letters", 0), directory, "label 0 at 0, expected 1 to 26");
}

TEST(IdxImages, OtherFilesMayHaveAnySizeAndClasses) {
  const std::string directory = FreshFolder("other");
  WriteTest(directory, "train-", {2, 2, 3}, {0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255},
            {0, 199});
  auto set = LoadIdxImages(IdxImagesOf("idx", "", 200), directory, Split::kTrain);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->format.height, 2);
  EXPECT_EQ(set->format.width, 3);
  EXPECT_THAT(set->format.mean, ElementsAre());
  MeasureImages(*set);
  EXPECT_FLOAT_EQ(set->format.mean[0], 0.5f);
  EXPECT_FLOAT_EQ(set->format.deviation[0], 0.5f);
}

TEST(IdxImages, AMissingFolderNamesThePackageAndTheKey) {
  const auto set = LoadIdxImages(kFashion, "/nowhere", Split::kTrain);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kNotFound);
  const std::string message(set.status().message());
  EXPECT_THAT(message, HasSubstr("/nowhere/train-images-idx3-ubyte.gz"));
  EXPECT_THAT(message, HasSubstr("dataset-fashion-mnist"));
  EXPECT_THAT(message, HasSubstr("data.path"));
}

TEST(IdxImages, FilesThatDoNotBelongTogetherAreDataLoss) {
  const std::string directory = FreshFolder("unequal");
  WriteTrain(directory, {3, 28, 28}, {0, 1});
  ExpectDataLoss(kFashion, directory, "3 images but 2 labels");
}

TEST(IdxImages, NoSamplesAreDataLoss) {
  const std::string directory = FreshFolder("none");
  WriteTrain(directory, {0, 28, 28}, {});
  ExpectDataLoss(kFashion, directory, "no samples");
}

TEST(IdxImages, ALabelOutOfRangeIsDataLoss) {
  const std::string directory = FreshFolder("label");
  WriteTrain(directory, {2, 28, 28}, {9, 10});
  ExpectDataLoss(kFashion, directory, "label 10 at 1, expected 0 to 9");
}

TEST(IdxImages, ImagesOfAnotherSizeAreDataLoss) {
  const std::string directory = FreshFolder("size");
  WriteTrain(directory, {1, 32, 28}, {0});
  ExpectDataLoss(kFashion, directory, "images of 32 x 28, expected 28 x 28");
}

}  // namespace
}  // namespace sluice
