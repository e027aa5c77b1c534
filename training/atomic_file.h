#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

/// An errno as a Status whose message names operation and path. A full disk, quota or file-size
/// limit is kResourceExhausted, a read-only file system or missing right kPermissionDenied.
absl::Status FileError(int error, absl::string_view operation, const std::string& path);

/// Creates or truncates `path`, writes `bytes` and waits until they are on the device.
absl::Status WriteDurably(const std::string& path, absl::string_view bytes);

/// Waits until the entries of a directory (files made, renamed, removed) are on the device.
absl::Status SyncDirectory(const std::string& path);

absl::StatusOr<std::string> ReadWhole(const std::string& path);

/// Gives the finished folder `from` its place at `to`, in one step: a reader sees the old folder,
/// or the new one, or (if there was none) nothing. What was at `to` is then removed.
/// \error kAlreadyExists  `to` is there and this file system cannot exchange two folders
absl::Status MoveFolderIntoPlace(const std::string& from, const std::string& to);

}  // namespace sluice
