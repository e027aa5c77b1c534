#pragma once

#include <algorithm>
#include <cstdint>

#include "models/data/data_shape.h"

namespace sluice {

/// What networks on images are built for.
struct ImageShape {
  /// \pre shape.input is channels, height, width
  explicit ImageShape(const DataShape& shape)
      : channels(shape.input[0]),
        height(shape.input[1]),
        width(shape.input[2]),
        classes(shape.classes) {}

  /// Too small for the published architectures, which shrink an image 4-fold in their first layers: they keep its
  /// size there instead, as is usual for images of 32 x 32.
  bool small() const { return std::min(height, width) < 64; }

  int64_t channels, height, width, classes;
};

}  // namespace sluice
