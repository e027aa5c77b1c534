#include "comm/reducer/snapshot_message.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "comm/reducer/little_endian.h"

namespace sluice {
namespace {

constexpr char kMagic[4] = {'S', 'L', 'W', 'S'};
constexpr uint32_t kFormatVersion = 1;

int64_t LoadInt64(const std::byte* in) {
  return static_cast<int64_t>(LoadLittleEndian<uint64_t>(in));
}

}  // namespace

void WriteSnapshotHeader(const SnapshotHeader& header, absl::Span<std::byte> out) {
  SLUICE_CHECK(out.size() >= kSnapshotHeaderBytes, "a snapshot has room for its header");
  std::memcpy(out.data(), kMagic, sizeof(kMagic));
  StoreLittleEndian(kFormatVersion, out.data() + 4);
  StoreLittleEndian(static_cast<uint64_t>(header.window), out.data() + 8);
  StoreLittleEndian(static_cast<uint64_t>(header.last_step.value), out.data() + 16);
  StoreLittleEndian(static_cast<uint64_t>(header.floats), out.data() + 24);
}

absl::StatusOr<SnapshotHeader> ReadSnapshotHeader(absl::Span<const std::byte> message) {
  if (message.size() < kSnapshotHeaderBytes) {
    return absl::DataLossError(absl::StrCat("snapshot of ", message.size(),
                                            " bytes is shorter than its ", kSnapshotHeaderBytes,
                                            "-byte header"));
  }
  if (std::memcmp(message.data(), kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError("snapshot does not start with \"SLWS\"");
  }
  const auto format = LoadLittleEndian<uint32_t>(message.data() + 4);
  if (format != kFormatVersion) {
    return absl::DataLossError(absl::StrCat("snapshot format ", format, ", expected ",
                                            kFormatVersion, ": run the same build everywhere"));
  }
  SnapshotHeader header;
  header.window = LoadInt64(message.data() + 8);
  header.last_step = Step(LoadInt64(message.data() + 16));
  if (header.window < 0 || header.last_step < Step(0)) {
    return absl::DataLossError(absl::StrCat("snapshot of window ", header.window, " up to ",
                                            ToString(header.last_step), ": negative"));
  }
  const auto floats = LoadLittleEndian<uint64_t>(message.data() + 24);
  const size_t payload = message.size() - kSnapshotHeaderBytes;
  if (payload % sizeof(float) != 0 || floats > payload / sizeof(float)) {
    return absl::DataLossError(absl::StrCat("snapshot says ", floats, " floats, but ", payload,
                                            " bytes follow its header"));
  }
  header.floats = static_cast<int64_t>(floats);
  header.samples = static_cast<int64_t>(payload / sizeof(float) - floats);
  return header;
}

}  // namespace sluice
