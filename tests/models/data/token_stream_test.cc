#include "models/data/token_stream.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int64_t> Read(const TokenStream& stream, int64_t begin, int64_t count) {
  std::vector<int64_t> tokens(count, -1);
  stream.Read(begin, absl::MakeSpan(tokens));
  return tokens;
}

void ExpectDataLoss(const std::string& bytes, TokenType type, int64_t vocabulary,
                    const std::string& what) {
  const std::string path = FreshFolder("damaged") + "/ids";
  Spill(path, bytes);
  const auto stream = TokenStream::Open(path, type, vocabulary);
  EXPECT_EQ(stream.status().code(), absl::StatusCode::kDataLoss) << stream.status();
  EXPECT_THAT(std::string(stream.status().message()), HasSubstr(path));
  EXPECT_THAT(std::string(stream.status().message()), HasSubstr(what));
}

TEST(TokenStream, IdsAreLittleEndian) {
  const std::string path = FreshFolder("widths") + "/ids";
  Spill(path, std::string("\x01\x02\xff\x00\xff\xff\x00\x80", 8));
  EXPECT_THAT(Read(*TokenStream::Open(path, TokenType::kByte, 256), 0, 8),
              ElementsAre(1, 2, 255, 0, 255, 255, 0, 128));
  EXPECT_THAT(Read(*TokenStream::Open(path, TokenType::kUint16, 65536), 0, 4),
              ElementsAre(0x201, 0xff, 0xffff, 0x8000));
  EXPECT_THAT(Read(*TokenStream::Open(path, TokenType::kUint32, int64_t{1} << 32), 0, 2),
              ElementsAre(0xff0201, 0x8000ffff));
}

// Every span of the files' bytes joined, empty files among them.
TEST(TokenStream, FilesOfAFolderAreOneSequence) {
  const std::string path = FreshFolder("files");
  Spill(path + "/1", "abc");
  Spill(path + "/2", "");
  Spill(path + "/3/x", "d");
  Spill(path + "/4", "efgh");
  const std::string all = "abcdefgh";
  const auto stream = TokenStream::Open(path, TokenType::kByte, 256);
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_EQ(stream->size(), 8);
  for (int64_t begin = 0; begin <= 8; ++begin) {
    for (int64_t count = 0; begin + count <= 8; ++count) {
      const std::string part = all.substr(begin, count);
      EXPECT_EQ(Read(*stream, begin, count), std::vector<int64_t>(part.begin(), part.end()))
          << begin << " " << count;
    }
  }
}

TEST(TokenStream, NoFilesHaveNoTokens) {
  EXPECT_EQ(TokenStream::Open(FreshFolder("none"), TokenType::kUint32, 5)->size(), 0);
}

TEST(TokenStream, APartOfAnIdIsDataLoss) {
  ExpectDataLoss("abc", TokenType::kUint16, 65536, "3 bytes, expected a whole number of ids of 2");
  ExpectDataLoss("abcdef", TokenType::kUint32, 1, "6 bytes, expected a whole number of ids of 4");
}

TEST(TokenStream, AnIdOutOfRangeNamesItsPlace) {
  ExpectDataLoss(std::string("\x00\x00\x09\x00\x0a\x00\x0b\x00", 8), TokenType::kUint16, 10,
                 "token 2 is 10, expected below data.vocabulary, 10");
  ExpectDataLoss(std::string("\x09\x00\x00\x00\x09\x00\x00\x80", 8), TokenType::kUint32, 10,
                 "token 1 is 2147483657");
}

TEST(TokenStream, AMissingPathIsNotFound) {
  const auto stream = TokenStream::Open("/nowhere/text", TokenType::kByte, 256);
  EXPECT_EQ(stream.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(stream.status().message()), HasSubstr("/nowhere/text"));
}

}  // namespace
}  // namespace sluice
