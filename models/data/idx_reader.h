#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

/// An array of unsigned bytes as an IDX file holds it, last dimension fastest.
struct IdxArray {
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};

/// Reads a whole IDX file of unsigned bytes, compressed with gzip or plain.
///
///     byte 0-1   2      3            4 ...                       then
///     0, 0       0x08   dimensions   size of each, 4 bytes each  product of the sizes, in bytes
///                       (1..255)     big-endian
///
/// Memory follows the bytes that are really there, not what the header claims.
/// Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
/// \error kNotFound  no such file
/// \error kDataLoss  magic, number of dimensions, truncation, bytes after the end, damaged
/// compression
absl::StatusOr<IdxArray> ReadIdx(const std::string& path, int dimensions);

}  // namespace sluice
