#include "models/data/fashion_mnist.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/synthetic_idx.h"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string FreshDirectory(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

void WriteTrain(const std::string& directory, const std::vector<int64_t>& shape,
                const std::vector<uint8_t>& labels) {
  const int64_t bytes =
      std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  WriteTestFile(directory + "/train-images-idx3-ubyte.gz",
                EncodeIdx(shape, std::vector<uint8_t>(bytes)));
  WriteTestFile(directory + "/train-labels-idx1-ubyte.gz",
                EncodeIdx({static_cast<int64_t>(labels.size())}, labels));
}

TEST(FashionMnist, TheDebianPackageHolds60000And10000Samples) {
  const auto train = LoadFashionMnist("/usr/share/datasets/fashion-mnist", Split::kTrain);
  ASSERT_TRUE(train.ok()) << train.status();
  EXPECT_EQ(train->count, 60000);
  EXPECT_EQ(train->pixels.size(), 60000u * 28 * 28);
  const auto test = LoadFashionMnist("/usr/share/datasets/fashion-mnist", Split::kTest);
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_EQ(test->count, 10000);

  double sum = 0, squares = 0;
  for (uint8_t pixel : train->pixels) {
    sum += pixel / 255.0;
    squares += pixel / 255.0 * (pixel / 255.0);
  }
  const double n = static_cast<double>(train->pixels.size());
  EXPECT_NEAR(sum / n, train->mean, 5e-4);
  EXPECT_NEAR(std::sqrt(squares / n - sum / n * (sum / n)), train->standard_deviation, 5e-4);
}

TEST(FashionMnist, PlainFilesAreReadToo) {
  const std::string directory = FreshDirectory("plain");
  WriteTestFile(directory + "/t10k-images-idx3-ubyte",
                EncodeIdx({1, 28, 28}, std::vector<uint8_t>(784, 9)));
  WriteTestFile(directory + "/t10k-labels-idx1-ubyte", EncodeIdx({1}, {4}));
  const auto set = LoadFashionMnist(directory, Split::kTest);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->labels[0], 4);
  EXPECT_EQ(set->pixels[783], 9);
}

TEST(FashionMnist, AMissingFolderNamesThePackageAndTheKey) {
  const auto set = LoadFashionMnist("/nowhere", Split::kTrain);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kNotFound);
  const std::string message(set.status().message());
  EXPECT_THAT(message, HasSubstr("/nowhere/train-images-idx3-ubyte.gz"));
  EXPECT_THAT(message, HasSubstr("dataset-fashion-mnist"));
  EXPECT_THAT(message, HasSubstr("data.path"));
}

TEST(FashionMnist, FilesThatDoNotBelongTogetherAreDataLoss) {
  const std::string directory = FreshDirectory("unequal");
  WriteTrain(directory, {3, 28, 28}, {0, 1});
  const auto set = LoadFashionMnist(directory, Split::kTrain);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(set.status().message()), HasSubstr("3 images but 2 labels"));
}

TEST(FashionMnist, ALabelOutOfRangeIsDataLoss) {
  const std::string directory = FreshDirectory("label");
  WriteTrain(directory, {2, 28, 28}, {9, 10});
  const auto set = LoadFashionMnist(directory, Split::kTrain);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(set.status().message()), HasSubstr("label 10 at 1"));
}

TEST(FashionMnist, ImagesOfAnotherSizeAreDataLoss) {
  const std::string directory = FreshDirectory("size");
  WriteTrain(directory, {1, 32, 28}, {0});
  EXPECT_EQ(LoadFashionMnist(directory, Split::kTrain).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice
