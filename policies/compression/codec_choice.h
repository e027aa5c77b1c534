#pragma once

#include "proto/policy.pb.h"

namespace sluice {

/// Whether both encode alike; raw and the casts have no parameters.
inline bool SameCodec(const proto::CodecChoice& a, const proto::CodecChoice& b) {
  if (a.kind() != b.kind()) return false;
  if (a.kind() != proto::CODEC_MAXMIN && a.kind() != proto::CODEC_L2NORM) return true;
  return a.bits() == b.bits() && a.bucket_size() == b.bucket_size() &&
         a.stochastic() == b.stochastic();
}

/// The l2norm quantiser spends one of its bits on the sign.
inline bool CanHaveBits(const proto::CodecChoice& codec) {
  return codec.kind() != proto::CODEC_L2NORM || codec.bits() >= 2;
}

}  // namespace sluice
