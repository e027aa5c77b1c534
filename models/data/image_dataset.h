#pragma once

#include <memory>

#include "models/data/dataset.h"
#include "models/data/image_augmentation.h"
#include "models/data/image_set.h"
#include "models/data/image_source.h"

namespace sluice {

/// Images of a source; a batch has one input, n x channels x height x width in fp32, changed as `augmentation`
/// says and normalised when it is made.
/// \param format  the source's, or that with another mean and deviation
/// \pre `format` has a mean and a deviation for every channel
std::unique_ptr<Dataset> MakeImageDataset(std::unique_ptr<ImageSource> source,
                                          const ImageFormat& format,
                                          const ImageAugmentation& augmentation);

/// Images in memory.
std::unique_ptr<ImageSource> MakeMemorySource(ImageSet set);

}  // namespace sluice
