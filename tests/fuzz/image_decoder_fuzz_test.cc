// JPEG and PNG files.

#include <cstdint>

#include "base/check.h"
#include "models/data/image_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (int64_t least_side : {1, 20}) {
    const auto image = DecodeImage(bytes, least_side);
    if (!image.ok()) {
      SLUICE_CHECK(absl::IsDataLoss(image.status()), "a documented error");
      SLUICE_CHECK(image.status().message().size() < 1000, "errors stay readable");
      continue;
    }
    SLUICE_CHECK(image->height > 0 && image->width > 0, "an image has pixels");
    SLUICE_CHECK(static_cast<int64_t>(image->pixels.size()) == image->height * image->width * 3,
                 "and no others");
  }
  return 0;
}
