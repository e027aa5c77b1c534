#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/data/image_source.h"

namespace sluice {

/// Names of the classes of a folder of images: the folders in PATH/train, in byte order.
/// \error kNotFound  no such folder, or no class in it, with the path and the job's key
absl::StatusOr<std::vector<std::string>> ImageFolderClasses(const std::string& path);

/// The images in FOLDER/CLASS/*.{jpg,jpeg,png}, in byte order of class and name; they are decoded when they
/// are asked for. The shorter side is scaled to `side`, bilinearly with the antialiasing of torch, and the longer
/// one is cut evenly at both ends. Format: 3 channels, with the mean and deviation of ImageNet.
/// \param path    training images are in its `train`, the others in its `test` or `val`
/// \param classes as ImageFolderClasses has them; a class without images is fine in `test`
/// \error kNotFound  no such folder, or a class to train on without images
/// \error kDataLoss  a class in `test` that is not in `train`; the first image cannot be decoded
absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFolder(
    const std::string& path, Split split, const std::vector<std::string>& classes, int64_t side);

}  // namespace sluice
