// Per-target: the loops of a quantised record, for any quantiser Q (MaxMin, L2Norm, Sign, Clipped,
// Ternary). A Q is what one bucket's values share:
//
//     kScaleBytes           of what Write stores and Q(scale, bits) reads
//     Summarise(in, n)      what Q(summary, bits) needs of a bucket, whatever the bits
//     HasLevels()           false when all codes are 0
//     Nearest(x), Value(c)  from values to codes by rounding to nearest, and back
//     kMayBeStochastic      whether it has what random rounding needs besides: Position(x) on the
//                           axis of levels, its top(), and the Code(x, level) of a level
//
// A record is worked through in chunks of codes that fit the first-level cache; buckets and chunks
// do not line up, so a chunk is cut into runs of one bucket.
#if defined(SLUICE_CODEC_QUANTISER_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_CODEC_QUANTISER_LOOPS_INL_H_
#undef SLUICE_CODEC_QUANTISER_LOOPS_INL_H_
#else
#define SLUICE_CODEC_QUANTISER_LOOPS_INL_H_
#endif

#include "comm/codec/bit_packing-inl.h"
#include "comm/codec/quantised_body.h"
#include "comm/codec/rounding-inl.h"
#include "comm/codec/uniform-inl.h"
#include "comm/codec/vector_io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

constexpr size_t kChunk = kMaxPackedCodes;
constexpr size_t kSlack = 64;  // what whole vectors may touch past the end of a chunk

template <bool kStochastic, class Q>
HWY_INLINE IntVec CodeOf(const Q& bucket, FloatVec x, FloatVec uniform) {
  if constexpr (kStochastic) {
    return bucket.Code(x, RoundAtRandom(bucket.Position(x), uniform, bucket.top()));
  } else {
    return bucket.Nearest(x);
  }
}

// `draws` is unused unless kStochastic.
template <bool kStochastic, class Q>
HWY_INLINE void QuantiseRun(const Q& bucket, const float* in, size_t n, const uint16_t* draws,
                            uint8_t* codes) {
  if (!bucket.HasLevels()) {
    memset(codes, 0, n);
    return;
  }
  const FloatTag d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const FloatVec u = kStochastic ? LoadUniform(draws + i) : hn::Zero(d);
    StoreCodes(CodeOf<kStochastic>(bucket, hn::LoadU(d, in + i), u), codes + i);
  }
  if (i < n) {
    const FloatVec u = kStochastic ? LoadFirstUniform(draws + i, n - i) : hn::Zero(d);
    // Lanes past the end quantise garbage that is not stored.
    StoreFirstCodes(CodeOf<kStochastic>(bucket, LoadFirst(in + i, n - i), u), codes + i, n - i);
  }
}

template <bool kStochastic, class Q>
HWY_INLINE void EncodeQuantised(const float* in, size_t n, const QuantiserParams& params,
                                uint64_t key, uint8_t* body) {
  const QuantisedBody layout = LayoutOf(n, params.bits, params.bucket_size, Q::kScaleBytes);
  uint8_t* scale = body;
  uint8_t* out = body + layout.scale_bytes;
  const uint8_t* end = body + layout.bytes;
  memset(body + layout.bytes - 8, 0, 8);  // the padding

  alignas(64) uint8_t scratch[kChunk + kSlack];
  alignas(64) uint16_t draws[kStochastic ? kChunk + kSlack : 1];
  Q bucket(typename Q::Summary{}, params.bits);
  size_t bucket_end = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t count = n - begin < kChunk ? n - begin : kChunk;
    uint8_t* codes = params.bits == 8 ? out + begin : scratch;
    if (kStochastic) FillDraws(key, begin, count, draws);
    for (size_t i = 0; i < count;) {
      const size_t at = begin + i;
      if (at == bucket_end) {
        const size_t size = n - at < params.bucket_size ? n - at : params.bucket_size;
        bucket_end = at + size;
        bucket = Q(Q::Summarise(in + at, size), params.bits);
        bucket.Write(scale);
        scale += Q::kScaleBytes;
      }
      const size_t run = (bucket_end - begin < count ? bucket_end - begin : count) - i;
      QuantiseRun<kStochastic>(bucket, in + at, run, kStochastic ? draws + i : nullptr, codes + i);
      i += run;
    }
    if (params.bits == 8) continue;
    memset(scratch + count, 0, kSlack);
    PackCodes(params.bits, scratch, count, out + begin / 8 * params.bits, end);
  }
}

template <class Q>
HWY_INLINE void EncodeNearestRecord(const float* in, size_t n, const QuantiserParams& params,
                                    uint8_t* body) {
  EncodeQuantised<false, Q>(in, n, params, 0, body);
}

template <class Q>
HWY_INLINE void EncodeQuantisedRecord(const float* in, size_t n, const QuantiserParams& params,
                                      uint64_t key, uint8_t* body) {
  static_assert(Q::kMayBeStochastic, "else EncodeNearestRecord");
  if (params.stochastic) {
    EncodeQuantised<true, Q>(in, n, params, key, body);
  } else {
    EncodeNearestRecord<Q>(in, n, params, body);
  }
}

template <DecodeMode kMode, class Q>
HWY_INLINE void DequantiseRun(const Q& bucket, const uint8_t* codes, size_t n, float* out) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Apply<kMode>(bucket.Value(LoadCodes(codes + i)), out + i);
  if (i < n) ApplyFirst<kMode>(bucket.Value(LoadFirstCodes(codes + i, n - i)), out + i, n - i);
}

template <DecodeMode kMode, class Q>
HWY_INLINE void DecodeQuantised(const uint8_t* body, size_t n, const QuantiserParams& params,
                                float* out) {
  const QuantisedBody layout = LayoutOf(n, params.bits, params.bucket_size, Q::kScaleBytes);
  const uint8_t* scale = body;
  const uint8_t* in = body + layout.scale_bytes;
  const uint8_t* end = body + layout.bytes;

  alignas(64) uint8_t scratch[kChunk + kSlack];
  Q bucket(typename Q::Summary{}, params.bits);
  size_t bucket_end = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t count = n - begin < kChunk ? n - begin : kChunk;
    const uint8_t* codes = scratch;
    if (params.bits == 8) {
      codes = in + begin;
    } else {
      UnpackCodes(params.bits, in + begin / 8 * params.bits, end, count, scratch);
    }
    for (size_t i = 0; i < count;) {
      const size_t at = begin + i;
      if (at == bucket_end) {
        bucket_end = at + (n - at < params.bucket_size ? n - at : params.bucket_size);
        bucket = Q(scale, params.bits);
        scale += Q::kScaleBytes;
      }
      const size_t run = (bucket_end - begin < count ? bucket_end - begin : count) - i;
      DequantiseRun<kMode>(bucket, codes + i, run, out + at);
      i += run;
    }
  }
}

template <class Q>
HWY_INLINE void DecodeQuantisedRecord(const uint8_t* body, size_t n, const QuantiserParams& params,
                                      DecodeMode mode, float* out) {
  switch (mode) {
    case DecodeMode::kAssign:
      return DecodeQuantised<DecodeMode::kAssign, Q>(body, n, params, out);
    case DecodeMode::kAdd:
      return DecodeQuantised<DecodeMode::kAdd, Q>(body, n, params, out);
    case DecodeMode::kSubtract:
      return DecodeQuantised<DecodeMode::kSubtract, Q>(body, n, params, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#endif  // per target
