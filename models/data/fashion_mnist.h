#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "models/data/image_set.h"

namespace sluice {

inline constexpr int kFashionMnistClasses = 10;
inline constexpr int kFashionMnistSide = 28;
inline constexpr float kFashionMnistMean = 0.2860f;
inline constexpr float kFashionMnistStandardDeviation = 0.3530f;

enum class Split { kTrain, kTest };

/// Loads `directory`/{train,t10k}-{images-idx3,labels-idx1}-ubyte, with or without `.gz`.
/// Source: Xiao, Rasul & Vollgraf, 2017, "Fashion-MNIST".
/// \error kNotFound  with the path, what to install and the job's key
/// \error kDataLoss  a damaged file, images and labels that do not match, a label out of range
absl::StatusOr<ImageSet> LoadFashionMnist(const std::string& directory, Split split);

}  // namespace sluice
