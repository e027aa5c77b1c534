#include "actors/codec_speeds.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/random.h"
#include "comm/codec/codec.h"
#include "comm/low_rank/low_rank_tensor.h"

namespace sluice {
namespace {

constexpr int64_t kElements = 256 * 1024;
constexpr int kRuns = 3;
/// A middle layer and a middle rank.
constexpr int64_t kRows = 256, kCols = 1024;
constexpr int kRank = 4;

// Sums of uniform numbers: close to normal, and cheap to draw.
std::vector<float> NormalValues() {
  std::vector<float> values(kElements);
  const RandomKey key(1);
  for (int64_t i = 0; i < kElements; ++i) {
    const uint64_t bits = key.Bits(i);
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += static_cast<float>(bits >> (16 * k) & 0xffff) - 32767.5f;
    values[i] = sum * 1e-7f;
  }
  return values;
}

template <class Work>
double BestSeconds(const std::function<absl::Time()>& clock, Work work) {
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < kRuns; ++run) {
    const absl::Time begin = clock();
    work();
    best = std::min(best, absl::ToDoubleSeconds(clock() - begin));
  }
  return best;
}

CodecSpeeds::Codec Measure(const CodecConfig& config, const std::vector<float>& values,
                           const std::function<absl::Time()>& clock) {
  std::vector<std::byte> record(EncodedBytes(config, kElements));
  std::vector<float> decoded(values.size());
  const double encode =
      BestSeconds(clock, [&] { Encode(config, values, RandomKey(2), absl::MakeSpan(record)); });
  const double decode = BestSeconds(clock, [&] {
    const absl::Status status = Decode(config, record, DecodeMode::kAdd, absl::MakeSpan(decoded));
    SLUICE_CHECK(status.ok(), "what was encoded can be decoded");
  });
  return {config, encode / kElements, decode / kElements};
}

// Multiply-adds of a step, in those of a matrix with a factor: a column of a basis costs two dot products
// and two subtractions with each one before it, over both.
double Products(double rows, double cols, double rank, bool error_feedback) {
  return (error_feedback ? 4 : 3) * rank * rows * cols + 2 * rank * rank * (rows + cols);
}

double ProductSeconds(const std::vector<float>& values, const std::function<absl::Time()>& clock) {
  LowRankTensor tensor(kRows, kCols, kRank, RandomKey(3));
  std::vector<float> matrix(values.begin(), values.begin() + kRows * kCols);
  std::vector<float> residual(matrix.size());
  std::vector<float> left(tensor.FactorElements(Step(0)));
  std::vector<float> right(tensor.FactorElements(Step(1)));
  int64_t turn = 0;
  const double step = BestSeconds(clock, [&] {
    tensor.Encode(Step(turn), matrix, absl::MakeSpan(left));
    tensor.Keep(Step(turn++), left);
    tensor.Encode(Step(turn), matrix, absl::MakeSpan(right));
    tensor.Decode(Step(turn++), right, right, absl::MakeSpan(matrix), absl::MakeSpan(residual));
  });
  return step / Products(kRows, kCols, kRank, true);
}

// Of `elements` that are encoded as records.
double RecordSeconds(const CodecSpeeds& speeds, const CodecConfig& codec, double elements,
                     int world_size, bool error_feedback) {
  const auto found =
      std::find_if(speeds.codecs.begin(), speeds.codecs.end(),
                   [&](const CodecSpeeds::Codec& speed) { return speed.config == codec; });
  if (found == speeds.codecs.end()) return 0;
  const double ranks = world_size;
  double decoded = 2 * (ranks - 1) / ranks;
  if (!IsLossless(codec)) decoded += error_feedback ? 1 : 1 / ranks;
  return elements * (found->encode_seconds + decoded * found->decode_seconds);
}

}  // namespace

CodecSpeeds MeasureCodecSpeeds(absl::Span<const CodecConfig> codecs,
                               const std::function<absl::Time()>& clock) {
  const std::vector<float> values = NormalValues();
  CodecSpeeds speeds;
  for (const CodecConfig& codec : codecs) {
    const bool low_rank = codec.kind == CodecKind::kLowRank;
    if (low_rank && speeds.product_seconds == 0) {
      speeds.product_seconds = ProductSeconds(values, clock);
    }
    const CodecConfig record = low_rank ? FactorCodec(codec) : codec;
    const bool known = std::any_of(speeds.codecs.begin(), speeds.codecs.end(),
                                   [&](const CodecSpeeds::Codec& c) { return c.config == record; });
    if (!known) speeds.codecs.push_back(Measure(record, values, clock));
  }
  return speeds;
}

double CodecSeconds(const CodecSpeeds& speeds, const CodecConfig& codec, const TensorInfo& tensor,
                    int world_size, bool error_feedback) {
  if (world_size == 1) return 0;
  if (codec.kind != CodecKind::kLowRank) {
    return RecordSeconds(speeds, codec, static_cast<double>(tensor.elements), world_size,
                         error_feedback);
  }
  if (speeds.product_seconds == 0) return 0;
  const double rows = static_cast<double>(tensor.rows);
  const double cols = static_cast<double>(tensor.elements) / rows;
  const double rank = std::min({static_cast<double>(codec.rank), rows, cols});
  // A factor's own part is always encoded as what it has not sent yet.
  return speeds.product_seconds * Products(rows, cols, rank, error_feedback) +
         RecordSeconds(speeds, FactorCodec(codec), rank * (rows + cols), world_size, true);
}

}  // namespace sluice
