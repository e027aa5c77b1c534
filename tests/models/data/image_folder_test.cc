#include "models/data/image_folder.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_folder.h"
#include "tests/models/data/test_images.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// train/{ape,bee} and val/bee.
std::string Zoo(const std::string& name) {
  const std::string path = FreshFolder(name);
  Spill(path + "/train/bee/2.PNG", EncodePng(PlainImage(8, 8, 3, 4, 5)));
  Spill(path + "/train/bee/10.png", EncodePng(PlainImage(8, 8, 1, 1, 1)));
  Spill(path + "/train/bee/notes.txt", "no image");
  Spill(path + "/train/ape/x.jpeg", EncodeJpeg(PlainImage(16, 24, 90, 60, 30)));
  Spill(path + "/val/bee/a.png", EncodePng(PlainImage(8, 8, 7, 7, 7)));
  return path;
}

absl::StatusOr<std::unique_ptr<ImageSource>> Open(const std::string& path, Split split,
                                                  int64_t side = 8) {
  const auto classes = ImageFolderClasses(path);
  if (!classes.ok()) return classes.status();
  return OpenImageFolder(path, split, *classes, side);
}

TEST(ImageFolder, ImagesAreInOrderOfClassAndName) {
  const std::string path = Zoo("order");
  EXPECT_THAT(*ImageFolderClasses(path), ElementsAre("ape", "bee"));
  const auto train = Open(path, Split::kTrain);
  ASSERT_TRUE(train.ok()) << train.status();
  ASSERT_EQ((*train)->size(), 3);
  EXPECT_EQ((*train)->Label(0), 0);
  EXPECT_EQ((*train)->Label(1), 1);
  EXPECT_EQ((*train)->Label(2), 1);
  std::vector<uint8_t> scratch;
  const uint8_t* last = *(*train)->Pixels(2, scratch);
  EXPECT_EQ(last[0], 3);
  EXPECT_EQ(last[64], 4);
  EXPECT_EQ(last[128], 5);
}

TEST(ImageFolder, TestImagesKeepTheClassesOfTheTrainingSet) {
  const auto test = Open(Zoo("val"), Split::kTest);
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_EQ((*test)->size(), 1);
  EXPECT_EQ((*test)->Label(0), 1);
  EXPECT_EQ((*test)->format().classes, 2);
}

// Stripes of 4 columns: left to right red, green, blue.
TEST(ImageFolder, TheMiddleOfTheLongerSideIsKept) {
  const std::string path = Zoo("middle");
  RgbImage image{4, 12, std::vector<uint8_t>(4 * 12 * 3)};
  for (int64_t i = 0; i < 4 * 12; ++i) image.pixels[3 * i + i % 12 / 4] = 255;
  Spill(path + "/train/ape/x.jpeg", EncodePng(image));  // the name does not matter
  const auto train = Open(path, Split::kTrain, 4);
  ASSERT_TRUE(train.ok()) << train.status();
  std::vector<uint8_t> scratch;
  const uint8_t* pixels = *(*train)->Pixels(0, scratch);
  for (int64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(pixels[i], 0);
    EXPECT_EQ(pixels[16 + i], 255);
    EXPECT_EQ(pixels[32 + i], 0);
  }
}

TEST(ImageFolder, ImagesAreScaledBothWaysAndColoursStay) {
  for (int64_t side : {5, 8, 16, 33}) {
    const auto train = Open(Zoo("scaled"), Split::kTrain, side);
    ASSERT_TRUE(train.ok()) << train.status();
    std::vector<uint8_t> scratch;
    for (int64_t i : {0, 2}) {
      const uint8_t* pixels = *(*train)->Pixels(i, scratch);
      const int expected[2][3] = {{90, 60, 30}, {3, 4, 5}};
      for (int64_t p = 0; p < side * side; ++p) {
        for (int64_t c = 0; c < 3; ++c) {
          ASSERT_NEAR(pixels[c * side * side + p], expected[i / 2][c], 2) << side << " " << i;
        }
      }
    }
  }
}

TEST(ImageFolder, ADamagedImageIsDataLossWithItsFile) {
  const std::string path = Zoo("damaged");
  const std::string file = path + "/train/bee/2.PNG";
  Spill(file, EncodePng(PlainImage(8, 8, 3, 4, 5)).substr(0, 40));
  const auto train = Open(path, Split::kTrain);
  ASSERT_TRUE(train.ok()) << train.status();
  std::vector<uint8_t> scratch;
  const auto pixels = (*train)->Pixels(2, scratch);
  EXPECT_EQ(pixels.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(pixels.status().message()), HasSubstr(file));
  EXPECT_TRUE((*train)->Pixels(1, scratch).ok());
}

TEST(ImageFolder, AFirstImageThatIsDamagedEndsTheLoading) {
  const std::string path = Zoo("first");
  Spill(path + "/train/ape/x.jpeg", "GIF89a");
  const auto train = Open(path, Split::kTrain);
  EXPECT_EQ(train.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(train.status().message()), HasSubstr("/train/ape/x.jpeg"));
}

TEST(ImageFolder, AClassThatWasNotTrainedOnIsDataLoss) {
  const std::string path = Zoo("unknown");
  Spill(path + "/val/cat/a.png", EncodePng(PlainImage(8, 8, 7, 7, 7)));
  const auto test = Open(path, Split::kTest);
  EXPECT_EQ(test.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(test.status().message()), HasSubstr("/val/cat"));
}

TEST(ImageFolder, WhatIsMissingIsNotFoundWithItsPath) {
  const auto expect = [](const std::string& path, Split split, const std::string& what) {
    const auto source = Open(path, split);
    EXPECT_EQ(source.status().code(), absl::StatusCode::kNotFound) << source.status();
    EXPECT_THAT(std::string(source.status().message()), HasSubstr(what));
  };
  expect("/nowhere", Split::kTrain, "no folder /nowhere/train; set data.path");
  const std::string path = Zoo("empty");
  std::filesystem::create_directories(path + "/train/cat");
  expect(path, Split::kTrain, "in " + path + "/train/cat");
  std::filesystem::remove_all(path + "/val");
  expect(path, Split::kTest, "neither test nor val in " + path);
  std::filesystem::remove_all(path + "/train");
  std::filesystem::create_directories(path + "/train");
  expect(path, Split::kTrain, "no class in " + path + "/train");
}

}  // namespace
}  // namespace sluice
