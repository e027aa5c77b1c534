#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "comm/codec/codec.h"

namespace sluice {

/// Which codec each tensor uses, from one step on: what comm/ knows of a CompressionPolicy.
struct CodecPlan {
  uint32_t version = 0;             ///< 0: raw, in force at step 0
  Step effective_step;              ///< not before this step
  std::vector<CodecConfig> codecs;  ///< by tensor, in the layout's order
};

}  // namespace sluice
