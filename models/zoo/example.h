#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/data/data_shape.h"

namespace sluice {

/// Random inputs for a network, always the same ones: `samples` of this shape. The first input is tokens if it is a
/// vector.
std::vector<at::Tensor> ExampleOf(const DataShape& shape, int64_t samples);

}  // namespace sluice
