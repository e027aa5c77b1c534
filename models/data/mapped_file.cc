#include "models/data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace sluice {

void MappedFile::Unmap::operator()(const char* data) const {
  munmap(const_cast<char*>(data), bytes);
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat about = {};
  if (fstat(file, &about) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(about.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("open ", path, ": not a plain file"));
  }
  // Nothing cannot be mapped.
  if (about.st_size == 0) return MappedFile({nullptr, Unmap{0}});
  const size_t bytes = static_cast<size_t>(about.st_size);
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("map ", path));
  return MappedFile({static_cast<const char*>(data), Unmap{bytes}});
}

}  // namespace sluice
