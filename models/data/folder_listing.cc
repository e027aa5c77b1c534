#include "models/data/folder_listing.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

absl::Status Failed(const std::string& path, const std::error_code& error) {
  return absl::ErrnoToStatus(error.value(), absl::StrCat("list ", path));
}

absl::Status AppendFilesBelow(const std::string& path, std::vector<std::string>& files) {
  SLUICE_ASSIGN_OR_RETURN(const FolderListing listing, ListFolder(path));
  for (const std::string& name : listing.files) files.push_back(absl::StrCat(path, "/", name));
  for (const std::string& name : listing.folders) {
    const std::string below = absl::StrCat(path, "/", name);
    std::error_code error;
    if (fs::is_symlink(below, error)) continue;  // it may lead back here
    SLUICE_RETURN_IF_ERROR(AppendFilesBelow(below, files));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FolderListing> ListFolder(const std::string& path) {
  std::error_code error;
  FolderListing listing;
  fs::directory_iterator at(path, error);
  if (error) return Failed(path, error);
  for (; at != fs::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    std::error_code unknown;  // a dangling link is neither
    if (name[0] == '.') continue;
    if (at->is_directory(unknown)) {
      listing.folders.push_back(name);
    } else if (at->is_regular_file(unknown)) {
      listing.files.push_back(name);
    }
  }
  if (error) return Failed(path, error);
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

absl::StatusOr<std::vector<std::string>> FilesBelow(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  SLUICE_RETURN_IF_ERROR(AppendFilesBelow(path, files));
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace sluice
