#include "comm/codec/top_k.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "comm/codec/top_k_layout.h"
#include "comm/codec/top_k_places.h"
#include "comm/codec/top_k_selection.h"
#include "comm/codec/top_k_values.h"

namespace sluice {
namespace {

TopKLayout LayoutOf(const CodecConfig& config, size_t n) {
  return TopKLayoutOf(n, config.density_ppm, config.bits);
}

const uint8_t* ValuesOf(const TopKLayout& layout, const uint8_t* body) {
  return body + layout.low_bytes + layout.bitmap_bytes;
}

// Only the last block can have padding.
bool LastBlockPaddingIsZero(const TopKLayout& layout, const uint8_t* values, int bits) {
  const size_t count = layout.kept % kTopKBlock;
  const size_t bytes = TopKValueBlockBytes(count, bits);
  return count == 0 || TopKValuePaddingIsZero(values + layout.value_bytes - bytes, count, bits);
}

template <DecodeMode kMode>
void Scatter(const CodecConfig& config, const TopKLayout& layout, const uint8_t* body, float* out) {
  TopKPlaceReader reader(layout, body);
  const uint8_t* in = ValuesOf(layout, body);
  uint32_t places[kTopKBlock];
  float values[kTopKBlock];
  for (size_t done = 0; done < layout.kept;) {
    const size_t count = std::min(layout.kept - done, kTopKBlock);
    reader.Read(places, count);
    DecodeTopKValues(in, count, config.bits, values);
    for (size_t i = 0; i < count; ++i) {
      float& x = out[places[i]];
      x = kMode == DecodeMode::kAdd        ? x + values[i]
          : kMode == DecodeMode::kSubtract ? x - values[i]
                                           : values[i];
    }
    in += TopKValueBlockBytes(count, config.bits);
    done += count;
  }
}

}  // namespace

size_t TopKBodyBytes(const CodecConfig& config, size_t n) { return LayoutOf(config, n).bytes; }

void EncodeTopK(const CodecConfig& config, const float* in, size_t n, uint8_t* body) {
  const TopKLayout layout = LayoutOf(config, n);
  TopKPlaceWriter writer(layout, body);
  uint8_t* out = body + layout.low_bytes + layout.bitmap_bytes;
  TopKStream stream(in, n, SelectTopK(in, n, layout.kept, config.exact));
  size_t taken = 0;
  while (stream.Next()) {
    taken += stream.size();
    SLUICE_CHECK(taken <= layout.kept, "a selection has no more entries than its record");
    writer.Append(stream.places(), stream.size());
    EncodeTopKValues(stream.values(), stream.size(), config.bits, out);
    out += TopKValueBlockBytes(stream.size(), config.bits);
  }
  SLUICE_CHECK(taken == layout.kept, "a selection has as many entries as its record");
  writer.Finish();
}

absl::Status DecodeTopK(const CodecConfig& config, const uint8_t* body, size_t n, DecodeMode mode,
                        float* out) {
  const TopKLayout layout = LayoutOf(config, n);
  const char* fault = FaultOfTopKPlaces(layout, body);
  if (fault == nullptr && !LastBlockPaddingIsZero(layout, ValuesOf(layout, body), config.bits)) {
    fault = "padding of the values is not zero";
  }
  if (fault != nullptr) {
    return absl::DataLossError(
        absl::StrCat("record of ", ToString(config), " with ", n, " elements: ", fault));
  }
  switch (mode) {
    case DecodeMode::kAssign:
      std::memset(out, 0, n * sizeof(float));
      Scatter<DecodeMode::kAssign>(config, layout, body, out);
      break;
    case DecodeMode::kAdd:
      Scatter<DecodeMode::kAdd>(config, layout, body, out);
      break;
    case DecodeMode::kSubtract:
      Scatter<DecodeMode::kSubtract>(config, layout, body, out);
      break;
  }
  return absl::OkStatus();
}

}  // namespace sluice
