#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/top_k_layout.h"

namespace sluice {

/// Which elements a top-k codec takes: all with a magnitude (see top_k_kernels.h) above `sure`, and
/// in order of index the first `maybes` with one in (never, sure].
struct TopKSelection {
  int32_t sure = -1;
  int32_t never = -1;
  size_t maybes = 0;
};

/// Magnitudes are binned by their exponent and upper four mantissa bits. Bin b holds those from
/// b << kTopKBinShift on.
inline constexpr int kTopKBinShift = 19;

/// Takes the `kept` largest magnitudes. Those of one bin pass for equal unless `exact`; equal ones
/// are taken from the lowest index on. The result depends on the values alone.
///
/// Cost: one read of `in`, or three if exact; and one more when a sample misjudges the threshold.
/// 32 KiB of stack.
/// \pre 0 < kept <= n
TopKSelection SelectTopK(const float* in, size_t n, size_t kept, bool exact);

/// Narrows a selection whose maybes share a bin, so that those with the largest magnitudes are taken
/// of them. Reads `in` twice.
TopKSelection RefineTopK(const float* in, size_t n, const TopKSelection& coarse);

/// Up to kTopKBlock selected elements, and room for what a group of vectors adds to them.
struct TopKBlock {
  static constexpr size_t kRoom = kTopKBlock + 128;
  alignas(64) int32_t places[kRoom];
  alignas(64) float values[kRoom];
  size_t filled = 0;  ///< may exceed kTopKBlock within FillTopKBlock
};

/// The selected elements, a block at a time. About 5 KiB; meant for the stack.
class TopKStream {
 public:
  TopKStream(const float* in, size_t n, const TopKSelection& selection)
      : in_(in), n_(n), left_(selection) {}

  /// Goes on to the next block: kTopKBlock elements, or fewer in the last one. False at the end.
  bool Next();

  size_t size() const { return size_; }
  const uint32_t* places() const { return reinterpret_cast<const uint32_t*>(block_.places); }
  const float* values() const { return block_.values; }

 private:
  const float* const in_;
  const size_t n_;
  size_t next_ = 0;
  TopKSelection left_;
  TopKBlock block_;
  size_t size_ = 0;
};

}  // namespace sluice
