#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// height x width x 3 (red, green, blue) bytes.
struct RgbImage {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;
};

/// Decodes a JPEG or PNG file's bytes, told apart by how they begin; grey images get three equal channels, and
/// what is transparent lies on black. Images have at most 2^26 pixels.
/// \param least_side  a JPEG may come out smaller than it is, by libjpeg-turbo's scaling, which is faster, but no
///                    side below this
/// \error kDataLoss  neither format, damaged, cut, of colours that have no RGB (CMYK), or too large; libjpeg-turbo's
///                   warnings count
absl::StatusOr<RgbImage> DecodeImage(absl::string_view bytes, int64_t least_side);

}  // namespace sluice
