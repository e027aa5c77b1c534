#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// One tensor of a safetensors file: row-major, little-endian.
struct SafeTensor {
  std::string name;
  std::string dtype;  ///< "F32", "I64", ...
  std::vector<int64_t> shape;
  absl::string_view bytes;  ///< borrowed
};

/// A safetensors file: numbers alone, nothing in it can run.
///
///     offset  bytes  field
///     0       8      n, length of the header
///     8       n      JSON: per name dtype, shape and data_offsets, counted from 8 + n; text by name
///                    under __metadata__; spaces up to a multiple of 8
///     8 + n          the tensors' bytes, one after the other without gaps
struct SafeTensors {
  std::map<std::string, std::string> metadata;
  std::vector<SafeTensor> tensors;

  /// nullptr if there is none of that name.
  const SafeTensor* Find(absl::string_view name) const;
};

/// \pre names differ; bytes have the length of dtype and shape
std::string WriteSafeTensors(const SafeTensors& tensors);

/// Any bytes are allowed; the result borrows from them.
/// \error kDataLoss  what is wrong with them
absl::StatusOr<SafeTensors> ReadSafeTensors(absl::string_view bytes);

}  // namespace sluice
