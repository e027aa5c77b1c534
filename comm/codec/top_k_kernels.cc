#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/top_k_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/top_k_kernels.h"

#include "comm/codec/vector_io-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

constexpr size_t kVectors = 4;  // looked at together: most of them hold nothing of interest
constexpr size_t kGroup = kVectors * kLanes;
constexpr size_t kStride = 4;  // hits of a group that are handled without a branch
constexpr uint64_t kAllHits = ~uint64_t{0} >> (64 - kGroup);
static_assert(kGroup <= 64 && TopKBlock::kRoom >= kTopKBlock + kGroup + kStride,
              "a group fits a block that is not full");

HWY_INLINE IntVec Magnitudes(const float* in) {
  const IntTag di;
  return hn::And(hn::BitCast(di, hn::LoadU(FloatTag(), in)), hn::Set(di, 0x7fffffff));
}

HWY_INLINE int32_t MagnitudeOf(const float* in) {
  int32_t bits;
  memcpy(&bits, in, sizeof(bits));
  return bits & 0x7fffffff;
}

struct Group {
  IntVec m0, m1, m2, m3;  // magnitudes

  explicit HWY_INLINE Group(const float* in)
      : m0(Magnitudes(in)),
        m1(Magnitudes(in + kLanes)),
        m2(Magnitudes(in + 2 * kLanes)),
        m3(Magnitudes(in + 3 * kLanes)) {}

  HWY_INLINE bool AnyAbove(IntVec bound) const {
    const IntTag di;
    const IntVec largest = hn::Max(hn::Max(m0, m1), hn::Max(m2, m3));
    return !hn::AllFalse(di, hn::Gt(largest, bound));
  }

  // Bit i: element i is above `bound`.
  HWY_INLINE uint64_t Above(IntVec bound) const {
    return Bits(hn::Gt(m0, bound)) | Bits(hn::Gt(m1, bound)) << kLanes |
           Bits(hn::Gt(m2, bound)) << (2 * kLanes) | Bits(hn::Gt(m3, bound)) << (3 * kLanes);
  }

 private:
  static HWY_INLINE uint64_t Bits(hn::Mask<IntTag> mask) {
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(IntTag(), mask, bytes);
    uint64_t bits;
    memcpy(&bits, bytes, sizeof(bits));
    return bits;
  }
};

// Calls store(slot, place) for the hits of a group in order, slot 0, 1, ...; and, with any place of the
// group, for up to kStride - 1 slots after them. Highway's CompressStore would do, but here it
// copies its table to the stack each time.
template <class Store>
HWY_INLINE void ForEachHit(uint64_t hits, const Store& store) {
  constexpr uint64_t kLast = uint64_t{1} << (kGroup - 1);  // what is left to find is never nothing
  for (size_t slot = 0; hits != 0; slot += kStride) {
    for (size_t i = 0; i < kStride; ++i) {
      store(slot + i, static_cast<size_t>(__builtin_ctzll(hits | kLast)));
      hits &= hits - 1;
    }
  }
}

HWY_INLINE size_t Count(uint64_t hits) { return static_cast<size_t>(__builtin_popcountll(hits)); }

// Of one bin after the other; consecutive keys go to different columns.
HWY_INLINE void CountKeys(const int32_t* keys, size_t count, TopKCounts* bins) {
  size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    ++bins->counts[0][keys[i]];
    ++bins->counts[1][keys[i + 1]];
  }
  if (i < count) ++bins->counts[0][keys[i]];
}

void CountMagnitudesHere(const float* in, size_t n, int32_t first, int32_t last, int shift,
                         TopKCounts* bins) {
  const IntTag di;
  const IntVec before = hn::Set(di, first - 1);
  const IntVec lasts = hn::Set(di, last);
  alignas(64) int32_t keys[TopKBlock::kRoom];
  size_t filled = 0;
  size_t i = 0;
  for (; i + kGroup <= n; i += kGroup) {
    const Group group(in + i);
    if (!group.AnyAbove(before)) continue;
    const uint64_t hits = group.Above(before) & ~group.Above(lasts);
    int32_t* const out = keys + filled;
    if (hits == kAllHits) {
      for (size_t k = 0; k < kGroup; ++k) out[k] = (MagnitudeOf(in + i + k) - first) >> shift;
    } else {
      ForEachHit(hits, [&](size_t slot, size_t place) HWY_ATTR {
        out[slot] = (MagnitudeOf(in + i + place) - first) >> shift;
      });
    }
    filled += Count(hits);
    if (filled >= kTopKBlock) {
      CountKeys(keys, filled, bins);
      filled = 0;
    }
  }
  for (; i < n; ++i) {
    const int32_t m = MagnitudeOf(in + i);
    if (m >= first && m <= last) keys[filled++] = (m - first) >> shift;
  }
  CountKeys(keys, filled, bins);
}

// One element at a time: around the last of the maybes, and at the end.
HWY_INLINE void FillSlowly(const float* in, size_t begin, size_t end, TopKSelection* selection,
                           TopKBlock* block) {
  for (size_t i = begin; i < end; ++i) {
    const int32_t m = MagnitudeOf(in + i);
    if (m <= selection->sure) {
      if (m <= selection->never || selection->maybes == 0) continue;
      --selection->maybes;
    }
    block->places[block->filled] = static_cast<int32_t>(i);
    block->values[block->filled] = in[i];
    ++block->filled;
  }
}

// Whole groups from *next on. kMaybes: all above `never` are taken as long as maybes last, which
// ends when a group may use up the last one. Else: those above `sure`.
template <bool kMaybes>
HWY_INLINE void FillGroups(const float* in, size_t n, size_t* next, TopKSelection* selection,
                           TopKBlock* block) {
  const IntTag di;
  const IntVec sure = hn::Set(di, selection->sure);
  const IntVec never = hn::Set(di, kMaybes ? selection->never : selection->sure);
  size_t filled = block->filled;
  size_t i = *next;
  for (; i + kGroup <= n && filled < kTopKBlock; i += kGroup) {
    const Group group(in + i);
    if (!group.AnyAbove(never)) continue;
    const uint64_t hits = group.Above(never);
    if (kMaybes) {
      const size_t used = Count(hits & ~group.Above(sure));
      if (used > selection->maybes) break;
      selection->maybes -= used;
    }
    int32_t* const places = block->places + filled;
    float* const values = block->values + filled;
    ForEachHit(hits, [&](size_t slot, size_t place) HWY_ATTR {
      places[slot] = static_cast<int32_t>(i + place);
      values[slot] = in[i + place];
    });
    filled += Count(hits);
  }
  block->filled = filled;
  *next = i;
}

void FillTopKBlockHere(const float* in, size_t n, size_t* next, TopKSelection* selection,
                       TopKBlock* block) {
  if (selection->maybes > 0) {
    FillGroups<true>(in, n, next, selection, block);
    if (block->filled >= kTopKBlock) return;
    // The group that holds the last maybe, if it was not the end that stopped the loop.
    const size_t end = n - *next < kGroup ? n : *next + kGroup;
    FillSlowly(in, *next, end, selection, block);
    *next = end;
    if (selection->maybes > 0) return;  // the end, or one more round
  }
  if (block->filled < kTopKBlock) FillGroups<false>(in, n, next, selection, block);
  if (block->filled >= kTopKBlock || *next == n) return;
  if (n - *next < kGroup) {
    FillSlowly(in, *next, n, selection, block);
    *next = n;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(CountMagnitudesHere);
HWY_EXPORT(FillTopKBlockHere);

void CountMagnitudes(const float* in, size_t n, int32_t first, int32_t last, int shift,
                     TopKCounts* bins) {
  HWY_DYNAMIC_DISPATCH(CountMagnitudesHere)(in, n, first, last, shift, bins);
}

void FillTopKBlock(const float* in, size_t n, size_t* next, TopKSelection* selection,
                   TopKBlock* block) {
  HWY_DYNAMIC_DISPATCH(FillTopKBlockHere)(in, n, next, selection, block);
}

}  // namespace sluice
#endif  // HWY_ONCE
