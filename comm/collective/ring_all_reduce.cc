#include "comm/collective/ring_all_reduce.h"

#include "comm/collective/all_reduce.h"

namespace sluice {

absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<float> data) {
  AllReduceOptions options;
  options.algorithm = AllReduceAlgorithm::kRing;
  AllReduceBuffers buffers;
  return AllReduce(context, options, data, buffers);
}

}  // namespace sluice
