#include "comm/reducer/frame_header.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "comm/reducer/little_endian.h"

namespace sluice {
namespace {

constexpr char kMagic[3] = {'S', 'L', 'F'};
constexpr uint8_t kFormatVersion = 3;

absl::Status Disagree(const char* what, uint64_t mine, Rank self, uint64_t theirs, Rank from,
                      const char* hint) {
  return absl::FailedPreconditionError(absl::StrCat(ToString(from), " sent ", what, " ", theirs,
                                                    ", ", ToString(self), " is at ", what, " ",
                                                    mine, ": ", hint));
}

}  // namespace

void WriteFrameHeader(const FrameHeader& header, absl::Span<std::byte> out) {
  SLUICE_CHECK(out.size() >= kFrameHeaderBytes, "a frame has room for its header");
  std::memcpy(out.data(), kMagic, sizeof(kMagic));
  out[3] = static_cast<std::byte>(kFormatVersion);
  StoreLittleEndian(header.plan_in_use, out.data() + 4);
  StoreLittleEndian(header.newest_plan, out.data() + 8);
  StoreLittleEndian(header.bucket, out.data() + 12);
  StoreLittleEndian(static_cast<uint64_t>(header.step.value), out.data() + 16);
  StoreLittleEndian(header.segment, out.data() + 24);
  StoreLittleEndian(header.exchange | header.not_finite << 8, out.data() + 28);
  StoreLittleEndian(static_cast<uint64_t>(header.sent_ns), out.data() + 32);
  StoreLittleEndian(static_cast<uint64_t>(header.reverse_ns), out.data() + 40);
}

absl::StatusOr<FrameHeader> ReadFrameHeader(absl::Span<const std::byte> frame) {
  if (frame.size() < kFrameHeaderBytes) {
    return absl::DataLossError(absl::StrCat("frame of ", frame.size(),
                                            " bytes is shorter than its ", kFrameHeaderBytes,
                                            "-byte header"));
  }
  if (std::memcmp(frame.data(), kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError("frame does not start with \"SLF\"");
  }
  const auto format = static_cast<int>(frame[3]);
  if (format != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("frame format ", format, ", expected ",
                                                      static_cast<int>(kFormatVersion),
                                                      ": run the same build on all ranks"));
  }
  FrameHeader header;
  header.plan_in_use = LoadLittleEndian<uint32_t>(frame.data() + 4);
  header.newest_plan = LoadLittleEndian<uint32_t>(frame.data() + 8);
  header.bucket = LoadLittleEndian<uint32_t>(frame.data() + 12);
  header.step = Step(static_cast<int64_t>(LoadLittleEndian<uint64_t>(frame.data() + 16)));
  header.segment = LoadLittleEndian<uint32_t>(frame.data() + 24);
  const auto exchange = LoadLittleEndian<uint32_t>(frame.data() + 28);
  header.exchange = exchange & 0xff;
  header.not_finite = exchange >> 8;
  header.sent_ns = static_cast<int64_t>(LoadLittleEndian<uint64_t>(frame.data() + 32));
  header.reverse_ns = static_cast<int64_t>(LoadLittleEndian<uint64_t>(frame.data() + 40));
  return header;
}

absl::Status CheckSameOperation(const FrameHeader& mine, Rank self, const FrameHeader& theirs,
                                Rank from) {
  if (theirs.step != mine.step) {
    return Disagree("step", mine.step.value, self, theirs.step.value, from,
                    "all ranks must start from the same step");
  }
  if (theirs.bucket != mine.bucket) {
    return Disagree("bucket", mine.bucket, self, theirs.bucket, from,
                    "the ranks have different bucket layouts");
  }
  if (theirs.exchange != mine.exchange) {
    return Disagree("exchange", mine.exchange, self, theirs.exchange, from,
                    "all ranks must be offered the same plans in the same order");
  }
  if (theirs.segment != mine.segment) {
    return Disagree("segment", mine.segment, self, theirs.segment, from,
                    "the ranks have different bucket layouts");
  }
  if (theirs.plan_in_use != mine.plan_in_use) {
    return Disagree("plan version", mine.plan_in_use, self, theirs.plan_in_use, from,
                    "all ranks must be offered the same plans in the same order");
  }
  return absl::OkStatus();
}

}  // namespace sluice
