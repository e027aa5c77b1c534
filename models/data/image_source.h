#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "models/data/image_set.h"

namespace sluice {

/// Where an image data set has its bytes from: memory, files, a generator.
/// \threadsafety all of it from any thread
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual const ImageFormat& format() const = 0;
  virtual int64_t size() const = 0;
  virtual int64_t Label(int64_t index) const = 0;
  /// The image's channels x height x width bytes, in `scratch` or in the source's own memory; valid until
  /// `scratch` changes.
  /// \error kDataLoss  an image that cannot be read, with its file
  virtual absl::StatusOr<const uint8_t*> Pixels(int64_t index,
                                                std::vector<uint8_t>& scratch) const = 0;
};

}  // namespace sluice
