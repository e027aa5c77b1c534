#include "models/data/fashion_mnist.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/idx_reader.h"

namespace sluice {
namespace {

absl::StatusOr<IdxArray> ReadPart(const std::string& directory, const std::string& name,
                                  int dimensions) {
  const std::string plain = absl::StrCat(directory, "/", name);
  const std::string compressed = plain + ".gz";
  auto array = ReadIdx(access(plain.c_str(), F_OK) == 0 ? plain : compressed, dimensions);
  if (absl::IsNotFound(array.status())) {
    return absl::NotFoundError(
        absl::StrCat("Fashion-MNIST: no ", compressed,
                     "; install the Debian package dataset-fashion-mnist, or set data.path to the "
                     "folder with the IDX files"));
  }
  return array;
}

}  // namespace

absl::StatusOr<ImageSet> LoadFashionMnist(const std::string& directory, Split split) {
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  SLUICE_ASSIGN_OR_RETURN(IdxArray images, ReadPart(directory, prefix + "-images-idx3-ubyte", 3));
  SLUICE_ASSIGN_OR_RETURN(IdxArray labels, ReadPart(directory, prefix + "-labels-idx1-ubyte", 1));
  const std::string where = absl::StrCat("Fashion-MNIST in ", directory, ", ", prefix, ": ");
  if (images.shape[0] != labels.shape[0]) {
    return absl::DataLossError(
        absl::StrCat(where, images.shape[0], " images but ", labels.shape[0], " labels"));
  }
  if (images.shape[0] == 0) return absl::DataLossError(where + "no samples");
  if (images.shape[1] != kFashionMnistSide || images.shape[2] != kFashionMnistSide) {
    return absl::DataLossError(absl::StrCat(where, "images of ", images.shape[1], " x ",
                                            images.shape[2], ", expected ", kFashionMnistSide,
                                            " x ", kFashionMnistSide));
  }
  const auto wrong = std::find_if(labels.bytes.begin(), labels.bytes.end(),
                                  [](uint8_t label) { return label >= kFashionMnistClasses; });
  if (wrong != labels.bytes.end()) {
    return absl::DataLossError(absl::StrCat(where, "label ", *wrong, " at ",
                                            wrong - labels.bytes.begin(), ", expected below ",
                                            kFashionMnistClasses));
  }
  ImageSet set;
  set.count = images.shape[0];
  set.height = images.shape[1];
  set.width = images.shape[2];
  set.classes = kFashionMnistClasses;
  set.pixels = std::move(images.bytes);
  set.labels = std::move(labels.bytes);
  set.mean = kFashionMnistMean;
  set.standard_deviation = kFashionMnistStandardDeviation;
  return set;
}

}  // namespace sluice
