#pragma once

#include <memory>

#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// VGG with batch norm: 3 x 3 convolutions and three linear layers, dropout after the first two (model.dropout; 0.5
/// in the paper). Heavy on the network, light on the processor. Batch norm's running statistics follow the rank's own
/// samples.
///
///     stage   1    2     3     4     5      each ends in a pool, as long as there are 2 x 2 pixels
///     vgg11  64  128  2x256 2x512 2x512     132,868,840 parameters for 3 x 224 x 224 and 1000 classes
///     vgg16 2x64 2x128 3x256 3x512 3x512    138,365,992
///     fc1,2  4096, on 7 x 7 pixels; below 64 x 64 on the pixel that is left: vgg11 has 28,148,362 for 1 x 28 x 28
///
/// Source: Simonyan & Zisserman, 2014, "Very deep convolutional networks for large-scale image recognition",
/// configurations A and D, with batch norm as torchvision has it.
std::shared_ptr<Network> MakeVgg11(const proto::Model& model, const DataShape& shape);
std::shared_ptr<Network> MakeVgg16(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
