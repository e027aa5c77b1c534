#include "training/safetensors.h"

#include <cstdint>
#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const float kFloats[] = {1.5f, -2, 3, 4, 5, 6};
const int64_t kCount = 12;

SafeTensors Example() {
  SafeTensors example;
  example.metadata = {{"format", "pt"}, {"note", "\"quoted\""}};
  example.tensors = {
      {"conv.weight", "F32", {2, 3}, {reinterpret_cast<const char*>(kFloats), sizeof(kFloats)}},
      {"empty", "F32", {0, 7}, {}},
      {"step", "I64", {}, {reinterpret_cast<const char*>(&kCount), sizeof(kCount)}}};
  return example;
}

// A file with this header and `data` bytes of zeros.
std::string File(const std::string& header, size_t data = 0) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header +
         std::string(data, '\0');
}

TEST(SafeTensors, ReadsBackWhatWasWritten) {
  const std::string bytes = WriteSafeTensors(Example());
  const auto read = ReadSafeTensors(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->metadata, Example().metadata);
  ASSERT_EQ(read->tensors.size(), 3u);
  EXPECT_EQ(read->tensors[0].name, "conv.weight");
  EXPECT_EQ(read->tensors[0].dtype, "F32");
  EXPECT_THAT(read->tensors[0].shape, ElementsAre(2, 3));
  EXPECT_EQ(std::memcmp(read->tensors[0].bytes.data(), kFloats, sizeof(kFloats)), 0);
  EXPECT_EQ(read->Find("step")->bytes.size(), 8u);
  EXPECT_EQ(read->Find("other"), nullptr);
  EXPECT_EQ(WriteSafeTensors(*read), bytes);
}

TEST(SafeTensors, EveryTruncationIsDataLoss) {
  const std::string bytes = WriteSafeTensors(Example());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(ReadSafeTensors(absl::string_view(bytes).substr(0, n)).status().code(),
              absl::StatusCode::kDataLoss)
        << "kept " << n << " bytes";
  }
  EXPECT_EQ(ReadSafeTensors(bytes + "x").status().code(), absl::StatusCode::kDataLoss);
}

TEST(SafeTensors, NonsenseIsDataLoss) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_TRUE(ReadSafeTensors(File(good, 8)).ok());
  for (const char* header : {
           "",
           "[]",
           "{\"a\":",
           R"({"a":1})",
           R"({"a":{"dtype":"F32","shape":[2]}})",
           R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})",
           R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})",
           R"({"__metadata__":{"a":1}})",
           R"({"__metadata__":[]})",
       }) {
    EXPECT_EQ(ReadSafeTensors(File(header, 8)).status().code(), absl::StatusCode::kDataLoss)
        << header;
  }
}

}  // namespace
}  // namespace sluice
