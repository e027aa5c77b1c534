#include "tests/models/data/synthetic_idx.h"

#include <zlib.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "base/random.h"

namespace sluice {
namespace {

constexpr int64_t kSide = 28;

void WriteSplit(const std::string& prefix, int64_t samples, RandomKey key) {
  std::vector<uint8_t> pixels(samples * kSide * kSide);
  std::vector<uint8_t> labels(samples);
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t label = static_cast<int64_t>(key.With("label").Below(s, 10));
    labels[s] = static_cast<uint8_t>(label);
    const int64_t top = 3 + label / 4 * 8, left = 1 + label % 4 * 7;
    uint8_t* image = pixels.data() + s * kSide * kSide;
    for (int64_t i = 0; i < kSide * kSide; ++i) {
      const int64_t y = i / kSide, x = i % kSide;
      const bool bright = y >= top && y < top + 6 && x >= left && x < left + 6;
      image[i] = static_cast<uint8_t>((bright ? 120 : 0) + key.With("noise").With(s).Below(i, 130));
    }
  }
  WriteTestFile(prefix + "-images-idx3-ubyte.gz", EncodeIdx({samples, kSide, kSide}, pixels));
  WriteTestFile(prefix + "-labels-idx1-ubyte.gz", EncodeIdx({samples}, labels));
}

}  // namespace

std::string EncodeIdx(const std::vector<int64_t>& shape, const std::vector<uint8_t>& bytes) {
  std::string out = {0, 0, 8, static_cast<char>(shape.size())};
  for (int64_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(size >> shift));
  }
  out.append(bytes.begin(), bytes.end());
  return out;
}

void WriteTestFile(const std::string& path, const std::string& bytes) {
  // Mode T writes without compression.
  gzFile file = gzopen(path.c_str(), absl::EndsWith(path, ".gz") ? "wb1" : "wbT");
  const bool ok = file != nullptr &&
                  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) ==
                      static_cast<int>(bytes.size()) &&
                  gzclose(file) == Z_OK;
  if (!ok) {
    std::fprintf(stderr, "cannot write %s\n", path.c_str());
    std::abort();
  }
}

std::string WriteSyntheticFashionMnist(const std::string& directory, int64_t train_samples,
                                       int64_t test_samples) {
  WriteSplit(directory + "/train", train_samples, RandomKey(1));
  WriteSplit(directory + "/t10k", test_samples, RandomKey(2));
  return directory;
}

}  // namespace sluice
