#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "comm/codec/cast_kernels.cc"
// clang-format off
#include "hwy/foreach_target.h"  // compiles this file once per instruction set: stays first
// clang-format on

#include "comm/codec/kernels.h"
#include "comm/codec/vector_io-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice {
namespace HWY_NAMESPACE {

using HalfTag = hn::Rebind<uint16_t, FloatTag>;  // sixteen bits per float lane
using UintTag = hn::RebindToUnsigned<FloatTag>;

// Each format: kBytes per value, Encode and Decode of one vector at a byte address.
struct Raw {
  static constexpr size_t kBytes = 4;
  static HWY_INLINE FloatVec Decode(const uint8_t* in) {
    const hn::Repartition<uint8_t, FloatTag> d8;
    return hn::BitCast(FloatTag(), hn::LoadU(d8, in));
  }
};

struct Bf16 {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE void Encode(FloatVec x, uint8_t* out) {
    const UintTag du;
    const auto bits = hn::BitCast(du, x);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
    const auto quiet_nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
    const auto is_nan = hn::RebindMask(du, hn::IsNaN(x));
    const auto result = hn::IfThenElse(is_nan, quiet_nan, rounded);
    uint16_t halves[kLanes];
    hn::StoreU(hn::DemoteTo(HalfTag(), hn::BitCast(IntTag(), result)), HalfTag(), halves);
    memcpy(out, halves, sizeof(halves));
  }
  static HWY_INLINE FloatVec Decode(const uint8_t* in) {
    uint16_t halves[kLanes];
    memcpy(halves, in, sizeof(halves));
    const auto wide = hn::PromoteTo(UintTag(), hn::LoadU(HalfTag(), halves));
    return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(wide));
  }
};

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2  // F16C; smaller numbers are larger instruction sets

struct Fp16 {
  static constexpr size_t kBytes = 2;
  using F16Tag = hn::Rebind<hwy::float16_t, FloatTag>;
  static HWY_INLINE void Encode(FloatVec x, uint8_t* out) {
    uint16_t halves[kLanes];
    hn::StoreU(hn::BitCast(HalfTag(), hn::DemoteTo(F16Tag(), x)), HalfTag(), halves);
    memcpy(out, halves, sizeof(halves));
  }
  static HWY_INLINE FloatVec Decode(const uint8_t* in) {
    uint16_t halves[kLanes];
    memcpy(halves, in, sizeof(halves));
    return hn::PromoteTo(FloatTag(), hn::BitCast(F16Tag(), hn::LoadU(HalfTag(), halves)));
  }
};

#else

// Without hardware conversion, one value at a time; Highway's emulation does not round to even.
HWY_INLINE uint16_t HalfOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) {  // NaN: made quiet, upper payload kept, as F16C does
    return static_cast<uint16_t>(sign | 0x7e00 | (bits >> 13 & 0x3ff));
  }
  if (bits >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // from 65520 on: infinity
  if (bits < 0x38800000) {  // below 2^-14: a multiple of 2^-24; adding 0.5 rounds to even there
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
  }
  bits += 0xfff + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | ((bits - 0x38000000) >> 13));
}

HWY_INLINE float FloatOf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  uint32_t bits;
  if (magnitude > 0x7c00) {
    bits = magnitude << 13 | 0x7fc00000;  // a signalling NaN becomes quiet, as F16C does
  } else if (magnitude == 0x7c00) {
    bits = 0x7f800000;
  } else if (magnitude >= 0x400) {
    bits = (magnitude << 13) + 0x38000000;
  } else {
    const float small = static_cast<float>(magnitude) * 0x1p-24f;
    memcpy(&bits, &small, 4);
  }
  bits |= sign;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

struct Fp16 {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE void Encode(FloatVec x, uint8_t* out) {
    float values[kLanes];
    uint16_t halves[kLanes];
    hn::StoreU(x, FloatTag(), values);
    for (size_t i = 0; i < kLanes; ++i) halves[i] = HalfOf(values[i]);
    memcpy(out, halves, sizeof(halves));
  }
  static HWY_INLINE FloatVec Decode(const uint8_t* in) {
    float values[kLanes];
    uint16_t halves[kLanes];
    memcpy(halves, in, sizeof(halves));
    for (size_t i = 0; i < kLanes; ++i) values[i] = FloatOf(halves[i]);
    return hn::LoadU(FloatTag(), values);
  }
};

#endif

template <class Format>
HWY_INLINE void EncodeCast(const float* in, size_t n, uint8_t* body) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Format::Encode(hn::LoadU(FloatTag(), in + i), body + i * Format::kBytes);
  }
  if (i < n) {
    uint8_t buffer[kLanes * Format::kBytes];
    Format::Encode(LoadFirst(in + i, n - i), buffer);
    memcpy(body + i * Format::kBytes, buffer, (n - i) * Format::kBytes);
  }
  if (n * Format::kBytes % 4 != 0) memset(body + n * Format::kBytes, 0, 2);  // the padding
}

template <DecodeMode kMode, class Format>
HWY_INLINE void DecodeCastAs(const uint8_t* body, size_t n, float* out) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Apply<kMode>(Format::Decode(body + i * Format::kBytes), out + i);
  }
  if (i < n) {
    uint8_t buffer[kLanes * Format::kBytes] = {};
    memcpy(buffer, body + i * Format::kBytes, (n - i) * Format::kBytes);
    ApplyFirst<kMode>(Format::Decode(buffer), out + i, n - i);
  }
}

template <class Format>
HWY_INLINE void DecodeCast(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  switch (mode) {
    case DecodeMode::kAssign:
      return DecodeCastAs<DecodeMode::kAssign, Format>(body, n, out);
    case DecodeMode::kAdd:
      return DecodeCastAs<DecodeMode::kAdd, Format>(body, n, out);
    case DecodeMode::kSubtract:
      return DecodeCastAs<DecodeMode::kSubtract, Format>(body, n, out);
  }
}

void EncodeFp16Here(const float* in, size_t n, uint8_t* body) { EncodeCast<Fp16>(in, n, body); }
void EncodeBf16Here(const float* in, size_t n, uint8_t* body) { EncodeCast<Bf16>(in, n, body); }
void DecodeRawHere(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  DecodeCast<Raw>(body, n, mode, out);
}
void DecodeFp16Here(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  DecodeCast<Fp16>(body, n, mode, out);
}
void DecodeBf16Here(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  DecodeCast<Bf16>(body, n, mode, out);
}
const char* InstructionSetHere() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace sluice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice {

HWY_EXPORT(EncodeFp16Here);
HWY_EXPORT(EncodeBf16Here);
HWY_EXPORT(DecodeRawHere);
HWY_EXPORT(DecodeFp16Here);
HWY_EXPORT(DecodeBf16Here);
HWY_EXPORT(InstructionSetHere);

void EncodeFp16(const float* in, size_t n, uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeFp16Here)(in, n, body);
}
void EncodeBf16(const float* in, size_t n, uint8_t* body) {
  HWY_DYNAMIC_DISPATCH(EncodeBf16Here)(in, n, body);
}
void DecodeRaw(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeRawHere)(body, n, mode, out);
}
void DecodeFp16(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeFp16Here)(body, n, mode, out);
}
void DecodeBf16(const uint8_t* body, size_t n, DecodeMode mode, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeBf16Here)(body, n, mode, out);
}
const char* KernelInstructionSet() { return HWY_DYNAMIC_DISPATCH(InstructionSetHere)(); }

}  // namespace sluice
#endif  // HWY_ONCE
