#pragma once

#include "proto/policy.pb.h"

namespace sluice {

/// Whether both encode alike.
inline bool SameCodec(const proto::CodecChoice& a, const proto::CodecChoice& b) {
  return a.kind() == b.kind() && a.bits() == b.bits() && a.bucket_size() == b.bucket_size() &&
         a.stochastic() == b.stochastic() && a.density_ppm() == b.density_ppm() &&
         a.exact() == b.exact() && a.rank() == b.rank();
}

/// The l2norm quantiser spends one of its bits on the sign.
inline bool CanHaveBits(const proto::CodecChoice& codec) {
  return codec.kind() != proto::CODEC_L2NORM || codec.bits() >= 2;
}

}  // namespace sluice
