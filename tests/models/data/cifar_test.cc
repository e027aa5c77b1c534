#include "models/data/cifar.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A record whose red, green and blue are all 1, 2 and 3.
std::string Record(const std::string& labels) {
  return labels + std::string(1024, '\1') + std::string(1024, '\2') + std::string(1024, '\3');
}

std::string Five(const std::string& name) {
  const std::string directory = FreshFolder(name);
  for (int i = 1; i <= 5; ++i) {
    Spill(directory + "/data_batch_" + std::to_string(i) + ".bin",
          Record(std::string(1, static_cast<char>(i))));
  }
  return directory;
}

TEST(Cifar, TheFiveBatchesOfCifar10FollowOneAnother) {
  const auto set = LoadCifar(Cifar::k10, Five("ten"), Split::kTrain);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->count, 5);
  EXPECT_EQ(set->format.channels, 3);
  EXPECT_EQ(set->format.classes, 10);
  EXPECT_THAT(set->labels, ElementsAre(1, 2, 3, 4, 5));
  ASSERT_EQ(set->pixels.size(), 5u * 3072);
  EXPECT_EQ(set->pixels[3072 + 1023], 1);
  EXPECT_EQ(set->pixels[3072 + 1024], 2);
  EXPECT_EQ(set->pixels[3072 + 3071], 3);
}

TEST(Cifar, Cifar100HasTheFineLabel) {
  const std::string directory = FreshFolder("hundred");
  Spill(directory + "/test.bin", Record("\x13\x63") + Record(std::string(2, '\0')));
  const auto set = LoadCifar(Cifar::k100, directory, Split::kTest);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->format.classes, 100);
  EXPECT_THAT(set->labels, ElementsAre(99, 0));
  EXPECT_EQ(set->pixels[0], 1);
}

TEST(Cifar, AMissingBatchIsNamed) {
  const std::string directory = Five("missing");
  std::filesystem::remove(directory + "/data_batch_3.bin");
  const auto set = LoadCifar(Cifar::k10, directory, Split::kTrain);
  EXPECT_EQ(set.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(set.status().message()), HasSubstr(directory + "/data_batch_3.bin"));
  EXPECT_THAT(std::string(set.status().message()), HasSubstr("data.path"));
}

class CifarRecordsTest : public testing::TestWithParam<Cifar> {
 protected:
  void ExpectDataLoss(const std::string& bytes, const std::string& what) {
    ImageSet set;
    const absl::Status status = AppendCifarRecords(GetParam(), bytes, "FILE", set);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << bytes.size() << " bytes";
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    EXPECT_EQ(set.count, 0);
    EXPECT_TRUE(set.pixels.empty());
  }
  const std::string labels_ = std::string(GetParam() == Cifar::k10 ? 1 : 2, '\7');
};

INSTANTIATE_TEST_SUITE_P(Kinds, CifarRecordsTest, testing::Values(Cifar::k10, Cifar::k100));

TEST_P(CifarRecordsTest, EveryTruncationIsDataLoss) {
  const std::string record = Record(labels_);
  for (size_t n = 0; n < record.size(); n += 1 + n / 50) {
    ExpectDataLoss((record + record).substr(0, record.size() + 1 + n % (record.size() - 1)),
                   "FILE: ");
    ExpectDataLoss(record.substr(0, n), "expected a whole number of records");
  }
}

TEST_P(CifarRecordsTest, ALabelOutOfRangeNamesItsRecord) {
  std::string wrong = labels_;
  wrong.back() = static_cast<char>(GetParam() == Cifar::k10 ? 10 : 100);
  ExpectDataLoss(Record(labels_) + Record(labels_) + Record(wrong), "record 2 has label 10");
}

TEST(Cifar, ACoarseLabelOutOfRangeIsDataLoss) {
  ImageSet set;
  const absl::Status status = AppendCifarRecords(Cifar::k100, Record("\x14\x01"), "FILE", set);
  EXPECT_THAT(std::string(status.message()), HasSubstr("coarse label 20"));
}

}  // namespace
}  // namespace sluice
