#pragma once

#include <memory>

#include "models/zoo/network.h"

namespace sluice {

/// Four 3 x 3 convolutions and two linear layers, 1.20 M parameters, no normalisation and no
/// dropout: the loss is the same function of the parameters however a batch is split over ranks.
///
///     input   1 x 28 x 28
///     conv1  32, pool -> 14 x 14          320 parameters
///     conv2  64, pool ->  7 x  7       18,496
///     conv3 128, pool ->  3 x  3       73,856
///     conv4 192                       221,376
///     fc1   512                       885,248
///     fc2    10                         5,130
std::shared_ptr<Network> MakeCnn();

}  // namespace sluice
