#pragma once

#include <memory>

#include "models/zoo/network.h"

namespace sluice {

/// ResNet-18 for 28 x 28 inputs: a 3 x 3 stem of stride 1 without pooling, then four stages of two
/// basic blocks with 64, 128, 256 and 512 channels; 11.2 M parameters. Batch norm's running
/// statistics follow the rank's own samples. Source: He, Zhang, Ren & Sun, 2015, "Deep residual
/// learning for image recognition".
std::shared_ptr<Network> MakeResnet18();

}  // namespace sluice
