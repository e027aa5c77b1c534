#pragma once

#include <memory>

#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// ResNet: a stem, then four stages of residual blocks with 64, 128, 256 and 512 channels (four times as many behind
/// resnet50's bottlenecks), then the mean over all pixels. Batch norm's running statistics follow the rank's own
/// samples.
///
///     stem       7 x 7 of stride 2 and a pool; below 64 x 64: 3 x 3 of stride 1 without pool
///     resnet18   2, 2, 2, 2 basic blocks   11,689,512 parameters for 3 x 224 x 224 and 1000 classes,
///                                          11,172,810 for 1 x 28 x 28 and 10
///     resnet50   3, 4, 6, 3 bottlenecks    25,557,032 and 23,519,690
///
/// Source: He, Zhang, Ren & Sun, 2015, "Deep residual learning for image recognition"; a bottleneck's stride is in its
/// 3 x 3 convolution, as in torchvision.
std::shared_ptr<Network> MakeResnet18(const proto::Model& model, const DataShape& shape);
std::shared_ptr<Network> MakeResnet50(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
