// Files of CIFAR records.

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/check.h"
#include "models/data/cifar.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size == 0) return 0;
  const Cifar kind = data[0] % 2 == 0 ? Cifar::k10 : Cifar::k100;
  const int64_t record = kind == Cifar::k10 ? 3073 : 3074;
  // The input, over and over, up to a length that it chooses: most are no records, some are.
  std::string bytes;
  const size_t wanted = size > 1 ? (data[1] % 4) * record + (data[1] > 250 ? data[1] : 0) : 0;
  while (bytes.size() < wanted) {
    bytes.append(reinterpret_cast<const char*>(data), std::min(size, wanted - bytes.size()));
  }
  ImageSet set;
  const absl::Status status = AppendCifarRecords(kind, bytes, "f", set);
  if (!status.ok()) {
    SLUICE_CHECK(absl::IsDataLoss(status), "a documented error");
    SLUICE_CHECK(set.count == 0 && set.pixels.empty(), "the set is unchanged");
    return 0;
  }
  SLUICE_CHECK(set.count * record == static_cast<int64_t>(bytes.size()), "every record is there");
  SLUICE_CHECK(static_cast<int64_t>(set.pixels.size()) == set.count * set.format.pixels(),
               "with all its pixels");
  for (uint8_t label : set.labels) SLUICE_CHECK(label < set.format.classes, "labels are in range");
  return 0;
}
