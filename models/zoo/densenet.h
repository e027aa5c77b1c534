#pragma once

#include <memory>

#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// DenseNet-121: four dense blocks of 6, 12, 24 and 16 layers, each of which adds 32 channels to all before it;
/// transitions between them halve channels and pixels. Very many small tensors. 7,978,856 parameters for
/// 3 x 224 x 224 and 1000 classes.
///
/// The stem is 7 x 7 of stride 2 and a pool; below 64 x 64 it is 3 x 3 of stride 1 without pool, the rest stays:
/// 6,955,274 parameters for 1 x 28 x 28 and 10. The paper's networks for CIFAR are others, of three blocks.
/// Batch norm's running statistics follow the rank's own samples.
/// Source: Huang, Liu, van der Maaten & Weinberger, 2016, "Densely connected convolutional networks".
std::shared_ptr<Network> MakeDensenet121(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
