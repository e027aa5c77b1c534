#include "comm/codec/top_k_error.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "comm/codec/top_k_kernels.h"
#include "comm/codec/top_k_layout.h"
#include "comm/codec/top_k_selection.h"
#include "comm/codec/top_k_values.h"

namespace sluice {
namespace {

// By bin of magnitudes; two columns, as in TopKCounts.
struct Histogram {
  uint32_t counts[kTopKBins][2] = {};
  double squares[kTopKBins][2] = {};

  size_t count(int bin) const { return size_t{counts[bin][0]} + counts[bin][1]; }
  double energy(int bin) const { return squares[bin][0] + squares[bin][1]; }
};

constexpr int kInfinityBin = 0x7f800000 >> kTopKBinShift;

int BinOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return static_cast<int>((bits & 0x7fffffff) >> kTopKBinShift);
}

std::unique_ptr<Histogram> HistogramOf(absl::Span<const float> values) {
  auto histogram = std::make_unique<Histogram>();
  for (size_t i = 0; i < values.size(); ++i) {
    const float x = values[i];
    const int bin = BinOf(x);
    ++histogram->counts[bin][i % 2];
    histogram->squares[bin][i % 2] += static_cast<double>(x) * x;
  }
  return histogram;
}

double EnergyOf(absl::Span<const float> values) {
  double sum = 0;
  for (float x : values) sum += static_cast<double>(x) * x;
  return sum;
}

double ErrorOf(const CodecConfig& config, absl::Span<const float> values,
               const Histogram& histogram) {
  size_t inside = TopKKept(values.size(), config.density_ppm);
  int boundary = kTopKBins - 1;
  while (histogram.count(boundary) < inside) inside -= histogram.count(boundary--);
  double dropped = 0;
  for (int bin = 0; bin < boundary; ++bin) dropped += histogram.energy(bin);
  const bool whole_bin = inside == histogram.count(boundary);
  if (whole_bin && config.bits == 32) return dropped;

  const int32_t first = boundary << kTopKBinShift;
  TopKSelection selection = {first + ((int32_t{1} << kTopKBinShift) - 1), first - 1, inside};
  if (config.exact && !whole_bin) {
    selection = RefineTopK(values.data(), values.size(), selection);
  }
  // Magnitudes of a bin are within a factor of two of each other, so that what it holds less what it
  // keeps has its digits. Bin 0, with zero and the least denormals, is added up between the places.
  const bool add_between = boundary == 0;
  size_t next = 0;
  double kept_of_boundary = 0;
  double rounding = 0;
  TopKStream stream(values.data(), values.size(), selection);
  while (stream.Next()) {
    uint8_t encoded[TopKValueBlockBytes(kTopKBlock, 32)];
    float decoded[kTopKBlock];
    EncodeTopKValues(stream.values(), stream.size(), config.bits, encoded);
    DecodeTopKValues(encoded, stream.size(), config.bits, decoded);
    for (size_t i = 0; i < stream.size(); ++i) {
      const double x = stream.values()[i];
      if (BinOf(stream.values()[i]) == boundary) kept_of_boundary += x * x;
      rounding += (x - decoded[i]) * (x - decoded[i]);
      if (!add_between) continue;
      const size_t place = stream.places()[i];
      dropped += EnergyOf(values.subspan(next, place - next));
      next = place + 1;
    }
  }
  if (add_between) return dropped + EnergyOf(values.subspan(next)) + rounding;
  if (!whole_bin) dropped += std::max(0.0, histogram.energy(boundary) - kept_of_boundary);
  return dropped + rounding;
}

}  // namespace

std::vector<double> TopKSquaredErrors(absl::Span<const CodecConfig> configs,
                                      absl::Span<const float> values) {
  std::vector<double> errors(configs.size(), 0.0);
  if (values.empty()) return errors;
  const std::unique_ptr<Histogram> histogram = HistogramOf(values);
  for (int bin = kInfinityBin; bin < static_cast<int>(kTopKBins); ++bin) {
    if (histogram->count(bin) == 0) continue;
    std::fill(errors.begin(), errors.end(), std::numeric_limits<double>::quiet_NaN());
    return errors;
  }
  for (size_t k = 0; k < configs.size(); ++k) errors[k] = ErrorOf(configs[k], values, *histogram);
  return errors;
}

}  // namespace sluice
