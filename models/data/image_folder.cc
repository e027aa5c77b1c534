#include "models/data/image_folder.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/folder_listing.h"
#include "models/data/image_decoder.h"
#include "models/data/mapped_file.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

constexpr char kHint[] =
    "; set data.path to the folder with train/CLASS/*.jpg and test/CLASS/*.jpg (or val/)";

bool IsImageName(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::EndsWith(lower, ".jpg") || absl::EndsWith(lower, ".jpeg") ||
         absl::EndsWith(lower, ".png");
}

// `image`, scaled so that its shorter side is `side`, and the middle of that: 3 x side x side.
std::vector<uint8_t> Fit(const RgbImage& image, int64_t side) {
  const c10::InferenceMode no_gradients;
  at::Tensor pixels = at::from_blob(const_cast<uint8_t*>(image.pixels.data()),
                                    {1, image.height, image.width, 3}, at::kByte)
                          .permute({0, 3, 1, 2});
  const int64_t shorter = std::min(image.height, image.width);
  if (shorter != side) {
    const auto scaled = [&](int64_t length) {
      return std::max(side, (2 * length * side + shorter) / (2 * shorter));  // rounded
    };
    pixels = at::_upsample_bilinear2d_aa(pixels.to(at::kFloat).contiguous(),
                                         {scaled(image.height), scaled(image.width)},
                                         /*align_corners=*/false);
    pixels = pixels.round().clamp(0, 255).to(at::kByte);
  }
  const auto middle = [&](int axis) {
    return pixels.narrow(axis, (pixels.size(axis) - side) / 2, side);
  };
  pixels = middle(2);
  pixels = middle(3).contiguous();
  const uint8_t* const data = pixels.data_ptr<uint8_t>();
  return {data, data + pixels.numel()};
}

class ImageFolder : public ImageSource {
 public:
  struct File {
    std::string name;  // within its class
    int32_t label;
  };

  ImageFolder(std::string folder, std::vector<std::string> classes, std::vector<File> files,
              int64_t side)
      : folder_(std::move(folder)), classes_(std::move(classes)), files_(std::move(files)) {
    format_ = {3,
               side,
               side,
               static_cast<int64_t>(classes_.size()),
               {0.485f, 0.456f, 0.406f},
               {0.229f, 0.224f, 0.225f}};
  }

  const ImageFormat& format() const override { return format_; }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t Label(int64_t index) const override { return files_[index].label; }

  absl::StatusOr<const uint8_t*> Pixels(int64_t index,
                                        std::vector<uint8_t>& scratch) const override {
    const File& image = files_[index];
    const std::string path = absl::StrCat(folder_, "/", classes_[image.label], "/", image.name);
    SLUICE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
    const absl::StatusOr<RgbImage> decoded = DecodeImage(file.bytes(), format_.height);
    if (!decoded.ok()) return Annotate(decoded.status(), path);
    SLUICE_RETURN_IF_ERROR(
        TorchGuard(absl::StrCat("scale ", path), [&] { scratch = Fit(*decoded, format_.height); }));
    return scratch.data();
  }

 private:
  const std::string folder_;
  const std::vector<std::string> classes_;
  const std::vector<File> files_;
  ImageFormat format_;
};

absl::StatusOr<FolderListing> ListOrHint(const std::string& path) {
  auto listing = ListFolder(path);
  if (!absl::IsNotFound(listing.status())) return listing;
  return absl::NotFoundError(absl::StrCat("images: no folder ", path, kHint));
}

// Of `test` and `val`, the one that is there.
absl::StatusOr<std::string> TestFolder(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const FolderListing listing, ListOrHint(path));
  for (const char* name : {"test", "val"}) {
    if (std::binary_search(listing.folders.begin(), listing.folders.end(), name)) {
      return absl::StrCat(path, "/", name);
    }
  }
  return absl::NotFoundError(absl::StrCat("images: neither test nor val in ", path, kHint));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ImageFolderClasses(const std::string& path) {
  const std::string train = absl::StrCat(path, "/train");
  SLUICE_ASSIGN_OR_RETURN(FolderListing listing, ListOrHint(train));
  if (!listing.folders.empty()) return std::move(listing.folders);
  return absl::NotFoundError(absl::StrCat("images: no class in ", train, kHint));
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageFolder(
    const std::string& path, Split split, const std::vector<std::string>& classes, int64_t side) {
  std::string folder = absl::StrCat(path, "/train");
  if (split == Split::kTest) {
    SLUICE_ASSIGN_OR_RETURN(folder, TestFolder(path));
  }
  SLUICE_ASSIGN_OR_RETURN(const FolderListing listing, ListFolder(folder));
  std::vector<ImageFolder::File> files;
  for (const std::string& name : listing.folders) {
    const auto at = std::lower_bound(classes.begin(), classes.end(), name);
    if (at == classes.end() || *at != name) {
      return absl::DataLossError(absl::StrCat("images: ", folder, "/", name,
                                              ": there is no such class in ", path, "/train"));
    }
    SLUICE_ASSIGN_OR_RETURN(FolderListing images, ListFolder(absl::StrCat(folder, "/", name)));
    const size_t before = files.size();
    for (std::string& image : images.files) {
      if (!IsImageName(image)) continue;
      files.push_back({std::move(image), static_cast<int32_t>(at - classes.begin())});
    }
    if (split == Split::kTrain && files.size() == before) {
      return absl::NotFoundError(
          absl::StrCat("images: no .jpg, .jpeg or .png in ", folder, "/", name));
    }
  }
  if (files.empty()) return absl::NotFoundError(absl::StrCat("images: none in ", folder, kHint));
  auto source = std::make_unique<ImageFolder>(std::move(folder), classes, std::move(files), side);
  std::vector<uint8_t> scratch;
  SLUICE_RETURN_IF_ERROR(source->Pixels(0, scratch).status());
  return source;
}

}  // namespace sluice
