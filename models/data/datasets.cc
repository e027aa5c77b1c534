#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/cifar.h"
#include "models/data/dataset.h"
#include "models/data/idx_images.h"
#include "models/data/image_dataset.h"
#include "models/data/image_folder.h"
#include "models/data/synthetic_dataset.h"
#include "models/data/token_dataset.h"

namespace sluice {
namespace {

constexpr char kFashionMnistFolder[] = "/usr/share/datasets/fashion-mnist";

ImageAugmentation AugmentationOf(const proto::Data& data) {
  ImageAugmentation augmentation;
  for (const std::string& name : data.augment()) {
    if (name == "crop") augmentation.crop_padding = data.crop_padding();
    if (name == "flip") augmentation.flip = true;
    if (name == "mixup") augmentation.mixup_alpha = data.mixup_alpha();
  }
  return augmentation;
}

// The job's values, one for all channels or one for each, in place of the set's own.
absl::Status Override(const google::protobuf::RepeatedField<double>& given, absl::string_view key,
                      std::vector<float>& values) {
  if (given.empty()) return absl::OkStatus();
  if (given.size() != 1 && given.size() != static_cast<int>(values.size())) {
    return absl::InvalidArgumentError(absl::StrCat("data.", key, " has ", given.size(),
                                                   " values, expected 1 or ", values.size(),
                                                   ", the channels of the images"));
  }
  for (size_t c = 0; c < values.size(); ++c) {
    values[c] = static_cast<float>(given[given.size() == 1 ? 0 : static_cast<int>(c)]);
  }
  return absl::OkStatus();
}

absl::StatusOr<Datasets> Images(std::unique_ptr<ImageSource> train,
                                std::unique_ptr<ImageSource> test, const proto::Data& data) {
  ImageFormat format = train->format();
  SLUICE_RETURN_IF_ERROR(Override(data.mean(), "mean", format.mean));
  SLUICE_RETURN_IF_ERROR(Override(data.deviation(), "deviation", format.deviation));
  return Datasets{MakeImageDataset(std::move(train), format, AugmentationOf(data)),
                  MakeImageDataset(std::move(test), format, {})};
}

absl::StatusOr<Datasets> InMemory(ImageSet train, ImageSet test, const proto::Data& data) {
  if (train.format.height != test.format.height || train.format.width != test.format.width) {
    return absl::DataLossError(absl::StrCat(
        data.dataset(), " in ", data.path(), ": training images of ", train.format.height, " x ",
        train.format.width, ", test images of ", test.format.height, " x ", test.format.width));
  }
  if (train.format.mean.empty()) MeasureImages(train);
  return Images(MakeMemorySource(std::move(train)), MakeMemorySource(std::move(test)), data);
}

absl::StatusOr<Datasets> LoadIdx(const proto::Data& data, const std::string& path) {
  const IdxImages images = IdxImagesOf(data.dataset(), data.emnist_split(), data.classes());
  SLUICE_ASSIGN_OR_RETURN(ImageSet train, LoadIdxImages(images, path, Split::kTrain));
  SLUICE_ASSIGN_OR_RETURN(ImageSet test, LoadIdxImages(images, path, Split::kTest));
  return InMemory(std::move(train), std::move(test), data);
}

absl::StatusOr<Datasets> LoadCifarSplits(const proto::Data& data) {
  const Cifar kind = data.dataset() == "cifar10" ? Cifar::k10 : Cifar::k100;
  SLUICE_ASSIGN_OR_RETURN(ImageSet train, LoadCifar(kind, data.path(), Split::kTrain));
  SLUICE_ASSIGN_OR_RETURN(ImageSet test, LoadCifar(kind, data.path(), Split::kTest));
  return InMemory(std::move(train), std::move(test), data);
}

absl::StatusOr<Datasets> LoadFolders(const proto::Data& data) {
  SLUICE_ASSIGN_OR_RETURN(const auto classes, ImageFolderClasses(data.path()));
  SLUICE_ASSIGN_OR_RETURN(auto train,
                          OpenImageFolder(data.path(), Split::kTrain, classes, data.side()));
  SLUICE_ASSIGN_OR_RETURN(auto test,
                          OpenImageFolder(data.path(), Split::kTest, classes, data.side()));
  return Images(std::move(train), std::move(test), data);
}

absl::StatusOr<Datasets> LoadText(const proto::Data& data) {
  TokenOptions options;
  options.context = data.context();
  options.test_share = data.test_share();
  if (data.dataset() == "tokens") {
    options.type = data.token_type() == "uint32" ? TokenType::kUint32 : TokenType::kUint16;
    options.vocabulary = data.vocabulary();
  }
  return LoadTokens(data.path(), options);
}

absl::StatusOr<Datasets> Synthetic(const proto::Data& data) {
  SyntheticOptions train;
  train.channels = data.channels();
  train.side = data.side();
  train.classes = data.classes();
  train.samples = data.samples();
  train.noise = data.noise();
  train.seed = data.seed();
  train.two_inputs = data.inputs() == 2;
  SyntheticOptions test = train;
  test.samples = static_cast<int64_t>(
      std::ceil(static_cast<double>(data.samples()) * data.test_share() * (1 - 1e-9)));
  SLUICE_ASSIGN_OR_RETURN(Datasets sets, Images(MakeSyntheticSource(train, Split::kTrain),
                                                MakeSyntheticSource(test, Split::kTest), data));
  if (train.two_inputs) {
    sets.train = WithSyntheticFeatures(std::move(sets.train), train, Split::kTrain);
    sets.test = WithSyntheticFeatures(std::move(sets.test), test, Split::kTest);
  }
  return sets;
}

absl::StatusOr<Datasets> Load(const proto::Data& data) {
  const std::string& name = data.dataset();
  if (name == "synthetic") return Synthetic(data);
  std::string path = data.path();
  if (path.empty()) {
    if (name != "fashion_mnist") {
      return absl::InvalidArgumentError("it has no usual place: set data.path");
    }
    path = kFashionMnistFolder;
  }
  if (name == "cifar10" || name == "cifar100") return LoadCifarSplits(data);
  if (name == "images") return LoadFolders(data);
  if (name == "bytes" || name == "tokens") return LoadText(data);
  if (name == "fashion_mnist" || name == "mnist" || name == "kmnist" || name == "emnist" ||
      name == "idx") {
    return LoadIdx(data, path);
  }
  return absl::InvalidArgumentError("there is no such data set");
}

}  // namespace

absl::StatusOr<Datasets> LoadDatasets(const proto::Data& data) {
  absl::StatusOr<Datasets> sets = Load(data);
  if (sets.ok()) return sets;
  return Annotate(sets.status(), absl::StrCat("data.dataset ", data.dataset(), ", data.path \"",
                                              data.path(), "\""));
}

}  // namespace sluice
