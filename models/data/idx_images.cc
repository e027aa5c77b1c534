#include "models/data/idx_images.h"

#include <unistd.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "models/data/idx_reader.h"

namespace sluice {
namespace {

absl::StatusOr<IdxArray> ReadPart(const IdxImages& images, const std::string& directory,
                                  const std::string& name, int dimensions) {
  const std::string plain = absl::StrCat(directory, "/", name);
  const std::string compressed = plain + ".gz";
  auto array = ReadIdx(access(plain.c_str(), F_OK) == 0 ? plain : compressed, dimensions);
  if (absl::IsNotFound(array.status())) {
    return absl::NotFoundError(absl::StrCat(images.name, ": no ", compressed, "; ", images.install,
                                            "set data.path to the folder with the IDX files"));
  }
  return array;
}

// Rows become columns in each image.
void Transpose(ImageSet& set) {
  std::vector<uint8_t> turned(set.pixels.size());
  const int64_t height = set.format.width, width = set.format.height;
  for (int64_t i = 0; i < set.count; ++i) {
    const uint8_t* from = set.pixels.data() + i * height * width;
    uint8_t* to = turned.data() + i * height * width;
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) to[y * width + x] = from[x * height + y];
    }
  }
  set.pixels = std::move(turned);
  set.format.height = height;
  set.format.width = width;
}

}  // namespace

IdxImages IdxImagesOf(absl::string_view dataset, absl::string_view emnist_split, int64_t classes) {
  IdxImages images;
  images.name = std::string(dataset);
  if (dataset == "fashion_mnist") {
    images.mean = 0.2860f;
    images.deviation = 0.3530f;
    images.install = "install the Debian package dataset-fashion-mnist, or ";
  } else if (dataset == "mnist") {
    images.mean = 0.1307f;
    images.deviation = 0.3081f;
  } else if (dataset == "kmnist") {
    images.mean = 0.1918f;
    images.deviation = 0.3483f;
  } else if (dataset == "emnist") {
    static const auto& classes_of = *new std::map<absl::string_view, int64_t>{
        {"balanced", 47}, {"byclass", 62}, {"bymerge", 47},
        {"letters", 26},  {"digits", 10},  {"mnist", 10}};
    const auto at = classes_of.find(emnist_split);
    SLUICE_CHECK(at != classes_of.end(), "the job's rules know the sets of EMNIST");
    images.train_prefix = absl::StrCat("emnist-", emnist_split, "-train-");
    images.test_prefix = absl::StrCat("emnist-", emnist_split, "-test-");
    images.classes = at->second;
    images.first_label = emnist_split == "letters" ? 1 : 0;
    images.transposed = true;
  } else {
    SLUICE_CHECK(dataset == "idx", "the job's rules know the data sets");
    images.classes = classes;
    images.side = 0;
  }
  return images;
}

absl::StatusOr<ImageSet> LoadIdxImages(const IdxImages& images, const std::string& directory,
                                       Split split) {
  const std::string& prefix = split == Split::kTrain ? images.train_prefix : images.test_prefix;
  SLUICE_ASSIGN_OR_RETURN(IdxArray pixels,
                          ReadPart(images, directory, prefix + "images-idx3-ubyte", 3));
  SLUICE_ASSIGN_OR_RETURN(IdxArray labels,
                          ReadPart(images, directory, prefix + "labels-idx1-ubyte", 1));
  const std::string where = absl::StrCat(images.name, " in ", directory, ", ", prefix, "*: ");
  if (pixels.shape[0] != labels.shape[0]) {
    return absl::DataLossError(
        absl::StrCat(where, pixels.shape[0], " images but ", labels.shape[0], " labels"));
  }
  if (pixels.bytes.empty()) return absl::DataLossError(where + "no samples");
  if (images.side > 0 && (pixels.shape[1] != images.side || pixels.shape[2] != images.side)) {
    return absl::DataLossError(absl::StrCat(where, "images of ", pixels.shape[1], " x ",
                                            pixels.shape[2], ", expected ", images.side, " x ",
                                            images.side));
  }
  for (size_t i = 0; i < labels.bytes.size(); ++i) {
    const int64_t label = labels.bytes[i] - images.first_label;
    if (label < 0 || label >= images.classes) {
      return absl::DataLossError(absl::StrCat(where, "label ", labels.bytes[i], " at ", i,
                                              ", expected ", images.first_label, " to ",
                                              images.first_label + images.classes - 1));
    }
    labels.bytes[i] = static_cast<uint8_t>(label);
  }
  ImageSet set;
  set.count = pixels.shape[0];
  set.format.height = pixels.shape[1];
  set.format.width = pixels.shape[2];
  set.format.classes = images.classes;
  if (images.deviation > 0) {
    set.format.mean = {images.mean};
    set.format.deviation = {images.deviation};
  }
  set.pixels = std::move(pixels.bytes);
  set.labels = std::move(labels.bytes);
  if (images.transposed) Transpose(set);
  return set;
}

}  // namespace sluice
