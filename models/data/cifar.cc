#include "models/data/cifar.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/mapped_file.h"

namespace sluice {
namespace {

constexpr int64_t kSide = 32;
constexpr int64_t kPixels = 3 * kSide * kSide;
constexpr int kCoarseClasses = 20;

std::vector<std::string> FilesOf(Cifar kind, Split split) {
  if (kind == Cifar::k100) return {split == Split::kTrain ? "train.bin" : "test.bin"};
  if (split == Split::kTest) return {"test_batch.bin"};
  return {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
          "data_batch_5.bin"};
}

ImageFormat FormatOf(Cifar kind) {
  if (kind == Cifar::k10) {
    return {3, kSide, kSide, 10, {0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};
  }
  return {3, kSide, kSide, 100, {0.5071f, 0.4865f, 0.4409f}, {0.2673f, 0.2564f, 0.2762f}};
}

}  // namespace

absl::Status AppendCifarRecords(Cifar kind, absl::string_view bytes, absl::string_view where,
                                ImageSet& set) {
  const int64_t label_bytes = kind == Cifar::k10 ? 1 : 2;
  const int64_t record_bytes = label_bytes + kPixels;
  const int classes = kind == Cifar::k10 ? 10 : 100;
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (size == 0 || size % record_bytes != 0) {
    return absl::DataLossError(absl::StrCat(where, ": ", size,
                                            " bytes, expected a whole number of records of ",
                                            record_bytes, " bytes and at least one"));
  }
  const int64_t records = size / record_bytes;
  const auto byte = [&](int64_t at) { return static_cast<uint8_t>(bytes[at]); };
  for (int64_t r = 0; r < records; ++r) {
    const int label = byte(r * record_bytes + label_bytes - 1);
    if (label >= classes) {
      return absl::DataLossError(
          absl::StrCat(where, ": record ", r, " has label ", label, ", expected below ", classes));
    }
    if (kind == Cifar::k100 && byte(r * record_bytes) >= kCoarseClasses) {
      return absl::DataLossError(absl::StrCat(where, ": record ", r, " has coarse label ",
                                              byte(r * record_bytes), ", expected below ",
                                              kCoarseClasses));
    }
  }
  set.format = FormatOf(kind);
  set.count += records;
  for (int64_t r = 0; r < records; ++r) {
    const absl::string_view record = bytes.substr(r * record_bytes, record_bytes);
    set.labels.push_back(static_cast<uint8_t>(record[label_bytes - 1]));
    set.pixels.insert(set.pixels.end(), record.begin() + label_bytes, record.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<ImageSet> LoadCifar(Cifar kind, const std::string& directory, Split split) {
  ImageSet set;
  for (const std::string& name : FilesOf(kind, split)) {
    const std::string path = absl::StrCat(directory, "/", name);
    const auto file = MappedFile::Open(path);
    if (absl::IsNotFound(file.status())) {
      return absl::NotFoundError(absl::StrCat(
          kind == Cifar::k10 ? "cifar10" : "cifar100", ": no ", path,
          "; unpack the set's binary version and set data.path to the folder with its .bin files"));
    }
    if (!file.ok()) return file.status();
    SLUICE_RETURN_IF_ERROR(AppendCifarRecords(kind, file->bytes(), path, set));
  }
  return set;
}

}  // namespace sluice
