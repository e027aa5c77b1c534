#pragma once

#include <memory>

#include "models/zoo/network.h"

namespace sluice {

/// VGG-11 with batch norm for 28 x 28 inputs: eight 3 x 3 convolutions and three linear layers,
/// 28.1 M parameters, of which the linear layers have 18.9 M: heavy on the network, light on the
/// processor. No dropout. Batch norm's running statistics follow the rank's own samples.
///
///     input   1 x 28 x 28
///     conv1    64, pool -> 14 x 14
///     conv2   128, pool ->  7 x  7
///     conv3,4 256, pool ->  3 x  3
///     conv5,6 512, pool ->  1 x  1
///     conv7,8 512
///     fc1,2  4096
///     fc3      10
///
/// Source: Simonyan & Zisserman, 2014, "Very deep convolutional networks for large-scale image
/// recognition", configuration A, with fewer pools for the smaller image.
std::shared_ptr<Network> MakeVgg11();

}  // namespace sluice
