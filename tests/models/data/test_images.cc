#include "tests/models/data/test_images.h"

#include <png.h>
#include <turbojpeg.h>

#include "base/check.h"

namespace sluice {

std::string EncodeJpeg(const RgbImage& image) {
  const tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int failed =
      tjCompress2(encoder, image.pixels.data(), static_cast<int>(image.width), 0,
                  static_cast<int>(image.height), TJPF_RGB, &bytes, &size, TJSAMP_444, 100, 0);
  SLUICE_CHECK(failed == 0, "the image is encoded");
  std::string file(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(encoder);
  return file;
}

std::string EncodePng(const RgbImage& image) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  int ok = png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr);
  std::string file(size, '\0');
  ok =
      ok && png_image_write_to_memory(&png, file.data(), &size, 0, image.pixels.data(), 0, nullptr);
  SLUICE_CHECK(ok, "the image is encoded");
  return file;
}

RgbImage PlainImage(int64_t height, int64_t width, uint8_t red, uint8_t green, uint8_t blue) {
  RgbImage image{height, width, {}};
  for (int64_t i = 0; i < height * width; ++i) {
    image.pixels.insert(image.pixels.end(), {red, green, blue});
  }
  return image;
}

}  // namespace sluice
