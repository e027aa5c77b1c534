#include "comm/codec/top_k_selection.h"

#include <algorithm>
#include <cstring>

#include "comm/codec/top_k_kernels.h"

namespace sluice {
namespace {

constexpr int32_t kBinWidth = int32_t{1} << kTopKBinShift;
constexpr int32_t kLargest = 0x7fffffff;
static_assert(size_t{kLargest} >> kTopKBinShift == kTopKBins - 1, "the bins hold every magnitude");

// A refinement splits a bin into kTopKBins, a second one splits one of those into single magnitudes.
constexpr int kFineShift = 7;
static_assert(kBinWidth >> kFineShift == kTopKBins, "a bin's parts fill the bins");

void Clear(TopKCounts* bins) { std::memset(bins, 0, sizeof(*bins)); }

// The bin that holds the `kept`-th largest counted magnitude, and how many of it belong to the
// `kept`. `bin` is -1 when fewer are counted, and `inside` what is missing.
struct Boundary {
  int bin;
  size_t inside;
};

Boundary BoundaryOf(const TopKCounts& bins, size_t kept) {
  for (int bin = kTopKBins - 1; bin >= 0; --bin) {
    const size_t count = size_t{bins.counts[0][bin]} + bins.counts[1][bin];
    if (count >= kept) return {bin, kept};
    kept -= count;
  }
  return {-1, kept};
}

// A magnitude, at the start of a bin, that seems to have `kept` above it and not many more: from
// a sample spread over `in`. Nothing but speed depends on it. Never 0: zeros may be many, and
// need no counting.
int32_t GuessFloor(const float* in, size_t n, size_t kept, TopKCounts* bins) {
  constexpr size_t kRun = 256;  // consecutive elements
  constexpr size_t kMaxRuns = 256;
  const size_t runs = std::min(kMaxRuns, n / (32 * kRun));
  if (runs < 2) return kBinWidth;
  const size_t stride = n / runs;
  for (size_t run = 0; run < runs; ++run) {
    CountMagnitudes(in + run * stride, kRun, kBinWidth, kLargest, kTopKBinShift, bins);
  }
  const double expected = static_cast<double>(kept) * (runs * kRun) / static_cast<double>(n);
  const Boundary boundary = BoundaryOf(*bins, static_cast<size_t>(1.25 * expected) + 64);
  Clear(bins);
  return boundary.bin < 0 ? kBinWidth : (boundary.bin + 1) * kBinWidth;
}

}  // namespace

TopKSelection SelectTopK(const float* in, size_t n, size_t kept, bool exact) {
  if (kept == n) return {};
  TopKCounts bins;
  Clear(&bins);
  int32_t first = GuessFloor(in, n, kept, &bins);
  CountMagnitudes(in, n, first, kLargest, kTopKBinShift, &bins);
  Boundary boundary = BoundaryOf(bins, kept);
  if (boundary.bin < 0 && first > kBinWidth) {
    Clear(&bins);
    first = kBinWidth;
    CountMagnitudes(in, n, first, kLargest, kTopKBinShift, &bins);
    boundary = BoundaryOf(bins, kept);
  }
  first += boundary.bin * kBinWidth;  // of bin -1: 0
  const TopKSelection coarse = {first + (kBinWidth - 1), first - 1, boundary.inside};
  return exact ? RefineTopK(in, n, coarse) : coarse;
}

TopKSelection RefineTopK(const float* in, size_t n, const TopKSelection& coarse) {
  TopKCounts bins;
  TopKSelection selection = coarse;
  for (int shift : {kFineShift, 0}) {
    if (selection.maybes == 0) break;
    Clear(&bins);
    const int32_t first = selection.never + 1;
    CountMagnitudes(in, n, first, selection.sure, shift, &bins);
    const Boundary boundary = BoundaryOf(bins, selection.maybes);
    const int32_t begin = first + (boundary.bin << shift);
    selection = {begin + ((int32_t{1} << shift) - 1), begin - 1, boundary.inside};
  }
  return selection;
}

bool TopKStream::Next() {
  // What FillTopKBlock took beyond a block goes first into the next one.
  const size_t more = block_.filled - size_;
  std::copy_n(block_.places + size_, more, block_.places);
  std::copy_n(block_.values + size_, more, block_.values);
  block_.filled = more;
  FillTopKBlock(in_, n_, &next_, &left_, &block_);
  size_ = std::min(block_.filled, kTopKBlock);
  return size_ > 0;
}

}  // namespace sluice
