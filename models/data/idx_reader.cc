#include "models/data/idx_reader.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

constexpr uint8_t kUnsignedBytes = 0x08;
constexpr int64_t kChunkBytes = 1 << 20;

struct GzCloser {
  void operator()(gzFile file) const { gzclose_r(file); }
};
using GzPtr = std::unique_ptr<std::remove_pointer_t<gzFile>, GzCloser>;

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("read ", path, ": ", what));
}

// Appends up to `wanted` bytes; fewer only at the end of the file.
absl::Status Append(gzFile file, const std::string& path, int64_t wanted,
                    std::vector<uint8_t>& out) {
  while (wanted > 0) {
    const int64_t chunk = std::min(wanted, kChunkBytes);
    const size_t before = out.size();
    out.resize(before + chunk);
    const int got = gzread(file, out.data() + before, static_cast<unsigned>(chunk));
    int code = Z_OK;
    const char* message = gzerror(file, &code);
    // A cut gzip stream is reported with the last bytes that could be decoded.
    if (got < 0 || code == Z_BUF_ERROR) {
      return Damaged(path, absl::StrCat("damaged gzip stream: ", message));
    }
    out.resize(before + got);
    wanted -= got;
    if (got < chunk) break;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IdxArray> ReadIdx(const std::string& path, int dimensions) {
  errno = 0;
  GzPtr file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  gzbuffer(file.get(), 1 << 18);

  std::vector<uint8_t> header;
  const int64_t header_bytes = 4 + 4 * static_cast<int64_t>(dimensions);
  if (auto status = Append(file.get(), path, header_bytes, header); !status.ok()) return status;
  if (header.size() >= 4 && (header[0] != 0 || header[1] != 0 || header[2] != kUnsignedBytes)) {
    return Damaged(path, absl::StrCat("not an IDX file of unsigned bytes: it starts with ",
                                      absl::StrJoin(header.begin(), header.begin() + 3, " "),
                                      ", expected 0 0 8"));
  }
  if (header.size() >= 4 && header[3] != dimensions) {
    return Damaged(path, absl::StrCat(header[3], " dimensions, expected ", dimensions));
  }
  if (static_cast<int64_t>(header.size()) < header_bytes) {
    return Damaged(
        path, absl::StrCat("truncated header: ", header.size(), " of ", header_bytes, " bytes"));
  }

  IdxArray array;
  int64_t elements = 1;
  for (int d = 0; d < dimensions; ++d) {
    const uint8_t* at = header.data() + 4 + 4 * d;
    const int64_t size = int64_t{at[0]} << 24 | at[1] << 16 | at[2] << 8 | at[3];
    if (size > 0 && elements > std::numeric_limits<int64_t>::max() / size) {
      return Damaged(path, "the sizes in its header overflow");
    }
    elements *= size;
    array.shape.push_back(size);
  }
  if (auto status = Append(file.get(), path, elements, array.bytes); !status.ok()) return status;
  if (static_cast<int64_t>(array.bytes.size()) < elements) {
    return Damaged(path, absl::StrCat("truncated: ", array.bytes.size(), " of ", elements,
                                      " elements (", absl::StrJoin(array.shape, " x "), ")"));
  }
  std::vector<uint8_t> extra;
  if (auto status = Append(file.get(), path, 1, extra); !status.ok()) return status;
  if (!extra.empty()) {
    return Damaged(path, absl::StrCat("bytes after its ", elements, " elements (",
                                      absl::StrJoin(array.shape, " x "), ")"));
  }
  return array;
}

}  // namespace sluice
