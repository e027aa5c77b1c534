#pragma once

#include <string>

#include "models/data/image_decoder.h"

namespace sluice {

/// The image as a JPEG file of quality 100 without subsampling of colours. Ends the process on error.
std::string EncodeJpeg(const RgbImage& image);
/// The image as a PNG file. Ends the process on error.
std::string EncodePng(const RgbImage& image);

/// height x width of one colour.
RgbImage PlainImage(int64_t height, int64_t width, uint8_t red, uint8_t green, uint8_t blue);

}  // namespace sluice
