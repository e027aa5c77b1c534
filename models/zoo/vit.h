#pragma once

#include <memory>

#include "absl/status/status.h"
#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// Vision transformer: patches of an image and a class token through an encoder, norms first, exact GELU.
///
///     images from 64 x 64 on   ViT-B/16: patches of 16, width 768, depth 12, 12 heads;
///                              86,567,656 parameters for 3 x 224 x 224 and 1000 classes
///     smaller ones             patches of 4, width 192, depth 6, 3 heads; 2,684,554 for 1 x 28 x 28 and 10
///
/// model.patch, width, depth, heads and dropout change that. No batch norm: replicas see nothing of each other's
/// samples. Source: Dosovitskiy et al., 2020, "An image is worth 16 x 16 words".
/// \pre CheckVit
std::shared_ptr<Network> MakeVit(const proto::Model& model, const DataShape& shape);
/// \error kInvalidArgument  patches that do not divide an image's sides, heads that do not divide the width
absl::Status CheckVit(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
