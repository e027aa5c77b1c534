#include "models/data/mapped_file.h"

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST(MappedFile, HasTheFilesBytesAlsoAfterAMove) {
  const std::string path = FreshFolder("mapped") + "/file";
  const std::string bytes("a\0b\xff", 4);
  Spill(path, bytes);
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->bytes(), bytes);
  const MappedFile moved = *std::move(file);
  EXPECT_EQ(moved.bytes(), bytes);
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const std::string path = FreshFolder("mapped") + "/empty";
  Spill(path, "");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->bytes().empty());
}

TEST(MappedFile, WhatIsNoFileIsRefusedWithItsPath) {
  const auto missing = MappedFile::Open("/nowhere/file");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/nowhere/file"));
  const auto folder = MappedFile::Open(testing::TempDir());
  EXPECT_EQ(folder.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
