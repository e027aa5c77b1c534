#include "training/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

absl::Status FileError(int error, absl::string_view operation, const std::string& path) {
  const absl::Status status = absl::ErrnoToStatus(error, absl::StrCat(operation, " ", path));
  if (error == EFBIG || error == EDQUOT || error == ENOSPC) {
    return absl::ResourceExhaustedError(status.message());
  }
  if (error == EROFS || error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(status.message());
  }
  return status;
}

absl::Status WriteDurably(const std::string& path, absl::string_view bytes) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) return FileError(errno, "create", path);
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError(errno, "write", path);
    bytes.remove_prefix(written);
  }
  if (fsync(file.get()) != 0) return FileError(errno, "fsync", path);
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  FileDescriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return FileError(errno, "open", path);
  // Some network file systems know no fsync of a directory; their rename is durable at once.
  if (fsync(folder.get()) != 0 && errno != EINVAL) return FileError(errno, "fsync", path);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return FileError(errno, "open", path);
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "read", path);
    if (got == 0) return bytes;
    bytes.append(buffer, got);
  }
}

absl::Status MoveFolderIntoPlace(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) {
    return FileError(errno, "rename to", to);
  }
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) return FileError(errno, "replace", to);
    return absl::AlreadyExistsError(absl::StrCat(
        "replace ", to,
        ": it exists and this file system cannot exchange folders; remove it or choose "
        "another directory"));
  }
  std::error_code error;
  std::filesystem::remove_all(from, error);
  if (error) return FileError(error.value(), "remove", from);
  return absl::OkStatus();
}

}  // namespace sluice
