#pragma once

#include <memory>

#include "models/data/dataset.h"
#include "models/data/image_set.h"

namespace sluice {

/// Images in memory; a batch has one input, n x 1 x height x width in fp32, normalised by the set's mean and
/// deviation when it is made.
std::unique_ptr<Dataset> MakeImageDataset(ImageSet set);

}  // namespace sluice
