// Files of tensors as a checkpoint might hold them.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "training/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto read = sluice::ReadSafeTensors(bytes);
  if (!read.ok()) {
    SLUICE_CHECK(read.status().code() == absl::StatusCode::kDataLoss, "its data is wrong");
    return 0;
  }
  const std::string written = sluice::WriteSafeTensors(*read);
  const auto again = sluice::ReadSafeTensors(written);
  SLUICE_CHECK(again.ok() && again->tensors.size() == read->tensors.size(), "it is written again");
  for (size_t t = 0; t < read->tensors.size(); ++t) {
    SLUICE_CHECK(again->tensors[t].bytes == read->tensors[t].bytes &&
                     again->tensors[t].shape == read->tensors[t].shape,
                 "with the same tensors");
  }
  return 0;
}
