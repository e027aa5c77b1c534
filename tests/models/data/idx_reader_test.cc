#include "models/data/idx_reader.h"

#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/synthetic_idx.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Spill(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class IdxReaderTest : public testing::TestWithParam<std::string> {
 protected:
  std::string Path() const { return testing::TempDir() + "/array" + GetParam(); }
  absl::StatusOr<IdxArray> ReadBytes(const std::string& bytes, int dimensions) const {
    WriteTestFile(Path(), bytes);
    return ReadIdx(Path(), dimensions);
  }
  void ExpectDataLoss(const std::string& bytes, int dimensions, const std::string& what) const {
    const auto array = ReadBytes(bytes, dimensions);
    EXPECT_EQ(array.status().code(), absl::StatusCode::kDataLoss) << array.status();
    EXPECT_THAT(std::string(array.status().message()), HasSubstr(Path()));
    EXPECT_THAT(std::string(array.status().message()), HasSubstr(what));
  }
};

INSTANTIATE_TEST_SUITE_P(PlainAndCompressed, IdxReaderTest, testing::Values(".idx", ".idx.gz"));

TEST_P(IdxReaderTest, ReadsShapeAndBytes) {
  const auto array = ReadBytes(EncodeIdx({2, 3}, {1, 2, 3, 4, 5, 255}), 2);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_THAT(array->shape, ElementsAre(2, 3));
  EXPECT_THAT(array->bytes, ElementsAre(1, 2, 3, 4, 5, 255));
}

TEST_P(IdxReaderTest, AnEmptyArrayIsFine) {
  const auto array = ReadBytes(EncodeIdx({0, 3}, {}), 2);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_TRUE(array->bytes.empty());
}

TEST_P(IdxReaderTest, EveryTruncationIsDataLoss) {
  const std::string bytes = EncodeIdx({2, 3}, {1, 2, 3, 4, 5, 6});
  for (size_t n = 0; n < bytes.size(); ++n) {
    SCOPED_TRACE(n);
    ExpectDataLoss(bytes.substr(0, n), 2, "truncated");
  }
}

TEST_P(IdxReaderTest, BytesAfterTheEndAreDataLoss) {
  ExpectDataLoss(EncodeIdx({2}, {1, 2, 3}), 1, "bytes after its 2 elements");
}

TEST_P(IdxReaderTest, AnotherElementTypeIsDataLoss) {
  std::string bytes = EncodeIdx({1}, {1});
  bytes[2] = 0x0d;
  ExpectDataLoss(bytes, 1, "starts with 0 0 13");
}

TEST_P(IdxReaderTest, AnotherNumberOfDimensionsIsDataLoss) {
  ExpectDataLoss(EncodeIdx({1}, {1}), 3, "1 dimensions, expected 3");
}

TEST_P(IdxReaderTest, AHugeHeaderIsDataLossWithoutAHugeAllocation) {
  ExpectDataLoss(EncodeIdx({0xffffffff, 0x7fffffff}, {1}), 2, "truncated: 1 of");
  ExpectDataLoss(EncodeIdx({0xffffffff, 0xffffffff, 2}, {1}), 3, "overflow");
}

TEST(IdxReader, AMissingFileIsNotFoundWithItsPath) {
  const auto array = ReadIdx("/nowhere/x.gz", 1);
  EXPECT_EQ(array.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(array.status().message()), HasSubstr("/nowhere/x.gz"));
}

TEST(IdxReader, ACutGzipStreamIsDataLoss) {
  const std::string path = testing::TempDir() + "/cut.gz";
  WriteTestFile(path, EncodeIdx({2, 3}, {1, 2, 3, 4, 5, 6}));
  const std::string whole = Slurp(path);
  for (size_t n = 1; n < whole.size(); ++n) {
    Spill(path, whole.substr(0, n));
    EXPECT_EQ(ReadIdx(path, 2).status().code(), absl::StatusCode::kDataLoss) << "kept " << n;
  }
}

TEST(IdxReader, ADamagedGzipStreamIsDataLoss) {
  const std::string path = testing::TempDir() + "/damaged.gz";
  WriteTestFile(path, EncodeIdx({2000}, std::vector<uint8_t>(2000, 7)));
  std::string bytes = Slurp(path);
  bytes[bytes.size() - 6] ^= 1;  // in the checksum
  Spill(path, bytes);
  EXPECT_EQ(ReadIdx(path, 1).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice
