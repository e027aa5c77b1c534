// Frames as another rank might send them: header, then records under a plan with several codecs.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "comm/reducer/bucket_codec.h"
#include "comm/reducer/frame_header.h"

namespace sluice {
namespace {

// Chunk 0 is a, e and a part of the factor of f; chunk 1 is b, c, d, and the rest of the factor.
const BucketLayout& Layout() {
  static const BucketLayout* const layout = new BucketLayout(*BucketLayout::Create(
      {{"a", 36}, {"e", 64}, {"f", 64, 8}, {"b", 20}, {"c", 8}, {"d", 8}}, 1024, 2));
  return *layout;
}

const CodecPlan& Plan() {
  static const CodecPlan* const plan =
      new CodecPlan{3,
                    Step(0),
                    {{CodecKind::kMaxMin, 4, 16},
                     {CodecKind::kTopK, 8, 0, false, 250000},
                     {CodecKind::kLowRank, 8, 0, false, 0, false, 2},
                     {CodecKind::kMaxMin, 3, 8, true},
                     {CodecKind::kTernary, 2, 8},
                     {CodecKind::kRaw}}};
  return *plan;
}

void CheckHeader(absl::Span<const std::byte> frame) {
  const auto header = ReadFrameHeader(frame);
  if (!header.ok()) return;
  std::byte again[kFrameHeaderBytes];
  WriteFrameHeader(*header, absl::MakeSpan(again));
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    SLUICE_CHECK(again[i] == frame[i], "a header that reads is written the same");
  }
  SLUICE_CHECK(CheckSameOperation(*header, Rank(0), *header, Rank(1)).ok(), "equal headers agree");
}

void CheckBucket(std::vector<std::byte> frame) {
  std::vector<float> data(200, 1.0f);
  LinkModel links(2);
  BucketCodecOptions options;
  options.self = Rank(0);
  options.links = &links;
  BucketCodec codec(Layout(), 0, options);
  codec.UsePlan(Plan());
  codec.Start(Step(5), 3, absl::MakeSpan(data));
  codec.Arrived(Rank(1), frame);
  // Once as it is, and once with a valid header and length, so that the records are reached.
  for (const bool repaired : {false, true}) {
    for (const int chunk : {0, 1}) {
      if (repaired) {
        frame.resize(codec.SegmentBytes(chunk, 0));
        WriteFrameHeader({3, 3, 0, Step(5)}, absl::MakeSpan(frame));
      }
      const absl::Status status =
          chunk == 0 ? codec.AddReceived(Rank(1), 0, frame) : codec.TakeSum(1, 0, frame);
      SLUICE_CHECK(!status.ok() || frame.size() == codec.SegmentBytes(chunk, 0),
                   "a frame of another length is refused");
    }
  }
  codec.Finish();
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  sluice::CheckHeader({bytes, size});
  sluice::CheckBucket(std::vector<std::byte>(bytes, bytes + size));
  return 0;
}
