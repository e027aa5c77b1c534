#pragma once

#include <memory>

#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// Four 3 x 3 convolutions and two linear layers, 1.20 M parameters for 28 x 28, no normalisation and no
/// dropout: the loss is the same function of the parameters however a batch is split over ranks.
///
///     input   1 x 28 x 28 (or any image from 8 x 8 on; fc1 grows with it)
///     conv1  32, pool -> 14 x 14          320 parameters
///     conv2  64, pool ->  7 x  7       18,496
///     conv3 128, pool ->  3 x  3       73,856
///     conv4 192                       221,376
///     fc1   512                       885,248
///     fc2    10                         5,130
std::shared_ptr<Network> MakeCnn(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
