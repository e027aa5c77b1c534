#pragma once

#include "absl/status/statusor.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/window_snapshot.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Measures what each candidate codec would lose on each layer, and what it costs on the wire. Pure; takes
/// a fraction of a second per million elements, so it runs in a profiler, never on the step loop.
class WindowProfiler {
 public:
  /// \param tensors  the model's signature; the layout is made from it, as in every worker
  static absl::StatusOr<WindowProfiler> Create(
      const proto::Compression& compression, const BucketLayout& layout,
      const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors);

  /// Layers and wire bytes of every option, without errors: for policies that need none.
  const proto::WindowStatistics& Sizes() const { return sizes_; }

  /// Sizes, and the errors of every option on the snapshot's tensors.
  proto::WindowStatistics Measure(const WindowSnapshot& snapshot) const;

 private:
  proto::WindowStatistics sizes_;
  std::vector<std::vector<CodecConfig>> codecs_;  // by layer, in the order of its options
};

/// Bytes that one rank sends per step when nothing is compressed, mean over ranks.
double RawWireBytes(const BucketLayout& layout);

}  // namespace sluice
