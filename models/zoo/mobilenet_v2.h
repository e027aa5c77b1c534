#pragma once

#include <memory>

#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// MobileNetV2 of width 1: 17 inverted residuals around depthwise convolutions, dropout before the last layer
/// (model.dropout; 0.2 in the paper). Light on the processor, and most tensors too small to be compressed well.
/// 3,504,872 parameters for 3 x 224 x 224 and 1000 classes.
///
/// Below 64 x 64 the stem and the second stage keep the image's size instead of halving it: 2,236,106 parameters for
/// 1 x 28 x 28 and 10. Batch norm's running statistics follow the rank's own samples.
/// Source: Sandler, Howard, Zhu, Zhmoginov & Chen, 2018, "MobileNetV2: inverted residuals and linear bottlenecks".
std::shared_ptr<Network> MakeMobilenetV2(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
