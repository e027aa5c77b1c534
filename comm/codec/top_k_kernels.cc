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
static_assert(TopKBlock::kRoom >= kTopKBlock + kGroup + kLanes,
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
  const IntVec firsts = hn::Set(di, first);
  const IntVec lasts = hn::Set(di, last);
  alignas(64) int32_t keys[TopKBlock::kRoom];
  size_t filled = 0;
  size_t i = 0;
  for (; i + kGroup <= n; i += kGroup) {
    const IntVec m0 = Magnitudes(in + i);
    const IntVec m1 = Magnitudes(in + i + kLanes);
    const IntVec m2 = Magnitudes(in + i + 2 * kLanes);
    const IntVec m3 = Magnitudes(in + i + 3 * kLanes);
    const IntVec largest = hn::Max(hn::Max(m0, m1), hn::Max(m2, m3));
    if (hn::AllFalse(di, hn::Gt(largest, before))) continue;
    const auto keep = [&](IntVec m) HWY_ATTR {
      const auto counted = hn::AndNot(hn::Gt(m, lasts), hn::Gt(m, before));
      const IntVec key = hn::ShiftRightSame(hn::Sub(m, firsts), shift);
      filled += hn::CompressStore(key, counted, di, keys + filled);
    };
    keep(m0);
    keep(m1);
    keep(m2);
    keep(m3);
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
  const FloatTag d;
  const IntTag di;
  const IntVec sure = hn::Set(di, selection->sure);
  const IntVec never = hn::Set(di, kMaybes ? selection->never : selection->sure);
  size_t filled = block->filled;
  size_t i = *next;
  for (; i + kGroup <= n && filled < kTopKBlock; i += kGroup) {
    const IntVec m0 = Magnitudes(in + i);
    const IntVec m1 = Magnitudes(in + i + kLanes);
    const IntVec m2 = Magnitudes(in + i + 2 * kLanes);
    const IntVec m3 = Magnitudes(in + i + 3 * kLanes);
    const IntVec largest = hn::Max(hn::Max(m0, m1), hn::Max(m2, m3));
    if (hn::AllFalse(di, hn::Gt(largest, never))) continue;
    if (kMaybes) {
      const auto maybes = [&](IntVec m) HWY_ATTR {
        return hn::CountTrue(di, hn::AndNot(hn::Gt(m, sure), hn::Gt(m, never)));
      };
      const size_t used = maybes(m0) + maybes(m1) + maybes(m2) + maybes(m3);
      if (used > selection->maybes) break;
      selection->maybes -= used;
    }
    const auto take = [&](IntVec m, size_t k) HWY_ATTR {
      const auto taken = hn::Gt(m, never);
      const size_t at = i + k * kLanes;
      hn::CompressStore(hn::LoadU(d, in + at), hn::RebindMask(d, taken), d, block->values + filled);
      filled += hn::CompressStore(hn::Iota(di, static_cast<int32_t>(at)), taken, di,
                                  block->places + filled);
    };
    take(m0, 0);
    take(m1, 1);
    take(m2, 2);
    take(m3, 3);
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
