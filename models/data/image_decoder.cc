#include "models/data/image_decoder.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 26;

struct TurboJpegCloser {
  void operator()(tjhandle handle) const { tjDestroy(handle); }
};
using TurboJpegPtr = std::unique_ptr<std::remove_pointer_t<tjhandle>, TurboJpegCloser>;

absl::Status Damaged(absl::string_view format, absl::string_view why) {
  return absl::DataLossError(absl::StrCat("damaged ", format, ": ", why));
}

absl::Status CheckSize(absl::string_view format, int64_t height, int64_t width) {
  if (height >= 1 && width >= 1 && height <= kMostPixels / width) return absl::OkStatus();
  return Damaged(format,
                 absl::StrCat(height, " x ", width, " pixels, expected 1 to ", kMostPixels));
}

RgbImage Sized(int64_t height, int64_t width) {
  return {height, width, std::vector<uint8_t>(height * width * 3)};
}

// The smallest of libjpeg-turbo's sizes with no side below `least`.
void Scale(int64_t least, int& height, int& width) {
  int count = 0;
  const tjscalingfactor* factors = tjGetScalingFactors(&count);
  int best_height = height, best_width = width;
  for (int i = 0; i < count; ++i) {
    const int scaled_height = TJSCALED(height, factors[i]),
              scaled_width = TJSCALED(width, factors[i]);
    if (std::min(scaled_height, scaled_width) >= least && scaled_height < best_height) {
      best_height = scaled_height;
      best_width = scaled_width;
    }
  }
  height = best_height;
  width = best_width;
}

absl::StatusOr<RgbImage> DecodeJpeg(absl::string_view bytes, int64_t least_side) {
  const TurboJpegPtr decoder(tjInitDecompress());
  if (decoder == nullptr) return absl::ResourceExhaustedError("JPEG decoder: out of memory");
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, sampling = 0, colours = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &sampling,
                          &colours) != 0) {
    return Damaged("JPEG", tjGetErrorStr2(decoder.get()));
  }
  // Before scaling: what is decoded on the way counts.
  SLUICE_RETURN_IF_ERROR(CheckSize("JPEG", height, width));
  Scale(least_side, height, width);
  RgbImage image = Sized(height, width);
  if (tjDecompress2(decoder.get(), data, bytes.size(), image.pixels.data(), width, 0, height,
                    TJPF_RGB, TJFLAG_STOPONWARNING) != 0) {
    return Damaged("JPEG", tjGetErrorStr2(decoder.get()));
  }
  return image;
}

absl::StatusOr<RgbImage> DecodePng(absl::string_view bytes) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  const absl::Cleanup free_png = [&png] { png_image_free(&png); };
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0) {
    return Damaged("PNG", png.message);
  }
  png.format = PNG_FORMAT_RGB;
  SLUICE_RETURN_IF_ERROR(CheckSize("PNG", png.height, png.width));
  RgbImage image = Sized(png.height, png.width);
  const png_color black = {0, 0, 0};
  if (png_image_finish_read(&png, &black, image.pixels.data(), 0, nullptr) == 0) {
    return Damaged("PNG", png.message);
  }
  return image;
}

}  // namespace

absl::StatusOr<RgbImage> DecodeImage(absl::string_view bytes, int64_t least_side) {
  if (absl::StartsWith(bytes, "\xff\xd8\xff")) return DecodeJpeg(bytes, least_side);
  if (absl::StartsWith(bytes, "\x89PNG\r\n\x1a\n")) return DecodePng(bytes);
  return absl::DataLossError("neither JPEG nor PNG");
}

}  // namespace sluice
