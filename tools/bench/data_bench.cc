// How fast one loader thread makes batches of 32 samples:
//
//   bazel run -c opt //tools/bench:data_bench -- [--benchmark_filter=REGEX]
//       [--benchmark_out=FILE --benchmark_out_format=json]
//
// items_per_second counts samples. `text` needs Debian's perl-doc. Every batch's status is checked.

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "models/data/dataset.h"
#include "models/data/image_dataset.h"
#include "models/data/image_folder.h"
#include "models/data/synthetic.h"
#include "models/data/token_dataset.h"
#include "tests/models/data/test_images.h"

namespace sluice {
namespace {

constexpr int64_t kBatch = 32;

std::unique_ptr<Dataset> InMemory(int64_t channels, int64_t side,
                                  const ImageAugmentation& augmentation) {
  ImageSet set;
  set.count = 2000;
  set.format = {channels,
                side,
                side,
                10,
                std::vector<float>(channels, 0.5f),
                std::vector<float>(channels, 0.25f)};
  set.pixels.resize(set.count * set.format.pixels());
  const RandomKey key(1);
  for (size_t i = 0; i < set.pixels.size(); ++i) set.pixels[i] = static_cast<uint8_t>(key.Bits(i));
  set.labels.resize(set.count);
  const ImageFormat format = set.format;
  return MakeImageDataset(MakeMemorySource(std::move(set)), format, augmentation);
}

std::unique_ptr<Dataset> Drawn(int64_t side) {
  SyntheticOptions options;
  options.side = side;
  options.samples = 2000;
  auto source = MakeSyntheticSource(options, Split::kTrain);
  const ImageFormat format = source->format();
  return MakeImageDataset(std::move(source), format, {});
}

// 64 JPEGs of ImageNet's usual size, smooth with some noise.
std::unique_ptr<Dataset> Decoded(int64_t side) {
  const std::string path = std::filesystem::temp_directory_path() / "sluice_data_bench";
  std::filesystem::create_directories(path + "/train/class");
  RgbImage image{375, 500, std::vector<uint8_t>(375 * 500 * 3)};
  for (uint64_t file = 0; file < 64; ++file) {
    for (int64_t i = 0; i < static_cast<int64_t>(image.pixels.size()); ++i) {
      image.pixels[i] = static_cast<uint8_t>((i / 3 % 500 + i / 1500 + i % 3 * 40) / 5 +
                                             RandomKey(file).Below(i, 24));
    }
    std::ofstream(absl::StrCat(path, "/train/class/", file, ".jpg"), std::ios::binary)
        << EncodeJpeg(image);
  }
  auto source = OpenImageFolder(path, Split::kTrain, {"class"}, side);
  SLUICE_CHECK(source.ok(), "the images were written");
  const ImageFormat format = (*source)->format();
  return MakeImageDataset(*std::move(source), format, {0, true, 0});
}

std::unique_ptr<Dataset> Text(int64_t context) {
  TokenOptions options;
  options.context = context;
  auto sets = LoadTokens("/usr/share/perl/5.36/pod", options);
  if (sets.ok()) return std::move(sets->train);
  std::fprintf(stderr, "data_bench: %s\n", std::string(sets.status().message()).c_str());
  std::exit(1);
}

void MakeBatches(benchmark::State& state, const std::function<std::unique_ptr<Dataset>()>& open) {
  const auto set = open();
  const RandomKey key(3);
  std::vector<int64_t> indices(kBatch);
  int64_t position = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < kBatch; ++i) indices[i] = key.Below(position + i, set->size());
    const auto batch = set->Make(indices, Augmentation{key, position});
    SLUICE_CHECK(batch.ok(), "every sample is there");
    position += kBatch;
  }
  state.SetItemsProcessed(position);
}

void Register(const char* name, std::function<std::unique_ptr<Dataset>()> open) {
  benchmark::RegisterBenchmark(name, MakeBatches, std::move(open))->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  using namespace sluice;
  at::set_num_threads(1);
  Register("grey_28", [] { return InMemory(1, 28, {}); });
  Register("colour_32", [] { return InMemory(3, 32, {}); });
  Register("colour_32_crop_flip", [] { return InMemory(3, 32, {4, true, 0}); });
  Register("colour_32_crop_flip_mixup", [] { return InMemory(3, 32, {4, true, 0.2}); });
  Register("synthetic_32", [] { return Drawn(32); });
  Register("synthetic_224", [] { return Drawn(224); });
  Register("jpeg_500x375_to_32", [] { return Decoded(32); });
  Register("jpeg_500x375_to_224", [] { return Decoded(224); });
  Register("text_128", [] { return Text(128); });
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
