#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace sluice {

/// 64-bit XXH3 over the values of fp32 tensors on the CPU, one after the other.
uint64_t ParameterChecksumOf(const std::vector<at::Tensor>& parameters);

}  // namespace sluice
