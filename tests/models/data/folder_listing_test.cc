#include "models/data/folder_listing.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/models/data/test_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ListFolder, NamesAreInByteOrderAndHiddenOnesAreLeftOut) {
  const std::string path = FreshFolder("listing");
  for (const char* name : {"b", "a", "B", ".hidden", "below/x", ".git/x", "\xc3\xa4"}) {
    Spill(path + "/" + name, "");
  }
  std::filesystem::create_symlink("nowhere", path + "/dangling");
  std::filesystem::create_symlink("a", path + "/link");
  const auto listing = ListFolder(path);
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_THAT(listing->files, ElementsAre("B", "a", "b", "link", "\xc3\xa4"));
  EXPECT_THAT(listing->folders, ElementsAre("below"));
}

TEST(ListFolder, AMissingFolderIsNotFoundWithItsPath) {
  const auto listing = ListFolder("/nowhere/x");
  EXPECT_EQ(listing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(listing.status().message()), HasSubstr("/nowhere/x"));
}

TEST(FilesBelow, AllDepthsAreThereAndLoopsEnd) {
  const std::string path = FreshFolder("below");
  Spill(path + "/b/c/2", "");
  Spill(path + "/b/1", "");
  Spill(path + "/z", "");
  std::filesystem::create_directory_symlink(path, path + "/b/loop");
  const auto files = FilesBelow(path);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(*files, ElementsAre(path + "/b/1", path + "/b/c/2", path + "/z"));
}

TEST(FilesBelow, AFileIsItself) {
  const std::string path = FreshFolder("file") + "/x";
  Spill(path, "x");
  EXPECT_THAT(*FilesBelow(path), ElementsAre(path));
}

}  // namespace
}  // namespace sluice
