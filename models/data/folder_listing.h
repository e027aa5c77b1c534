#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

/// Names directly in `path`, in byte order, so that every host has the same; those that start with "."
/// are left out.
struct FolderListing {
  std::vector<std::string> folders;
  std::vector<std::string> files;  ///< plain ones, or links to such
};
/// \error kNotFound, kPermissionDenied and so on, with the path
absl::StatusOr<FolderListing> ListFolder(const std::string& path);

/// Full paths of all plain files below `path`, in byte order of the path. A plain file is its own
/// list. Links to folders are not followed.
/// \error as ListFolder
absl::StatusOr<std::vector<std::string>> FilesBelow(const std::string& path);

}  // namespace sluice
