#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// A file's bytes, read by the kernel when they are touched, and shared by all processes of a host.
/// The file must not be cut while it is mapped: touching what is gone ends the process.
/// \threadsafety immutable
class MappedFile {
 public:
  /// \error kNotFound, kPermissionDenied and so on, with the path; kInvalidArgument: a folder
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  /// Valid as long as this, or what it was moved to, lives.
  absl::string_view bytes() const { return {data_.get(), data_.get_deleter().bytes}; }

 private:
  struct Unmap {
    size_t bytes = 0;
    void operator()(const char* data) const;
  };
  explicit MappedFile(std::unique_ptr<const char, Unmap> data) : data_(std::move(data)) {}

  std::unique_ptr<const char, Unmap> data_;
};

}  // namespace sluice
