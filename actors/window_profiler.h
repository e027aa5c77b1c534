#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "actors/codec_speeds.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/window_snapshot.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Measures what each option would lose on each layer, and what it costs on the wire and in time: the
/// candidates of the layer that send fewer bytes than raw, beside raw and the uniform reference. Pure;
/// takes a fraction of a second per million elements, so it runs in a profiler, never on the step loop.
class WindowProfiler {
 public:
  /// \param tensors  the model's signature; the layout is made from it, as in every worker
  /// \param speeds   where codec_seconds come from; none: they are 0, unknown
  static absl::StatusOr<WindowProfiler> Create(
      const proto::Compression& compression, const BucketLayout& layout,
      const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors,
      const CodecSpeeds& speeds = {});

  /// Layers, wire bytes and times of every option, without errors: for policies that need none.
  const proto::WindowStatistics& Sizes() const { return sizes_; }

  /// Every codec that is an option of some layer, once.
  std::vector<CodecConfig> Codecs() const;

  /// Sizes, and the errors of every option on the snapshot's tensors, from as few passes over a tensor
  /// as possible: one per family. Those of low rank leave out how factors are rounded. Layers of other
  /// profilers, whose tensors are empty, are left out.
  proto::WindowStatistics Measure(const WindowSnapshot& snapshot) const;

 private:
  proto::WindowStatistics sizes_;
  std::vector<std::vector<CodecConfig>> codecs_;  // by layer, in the order of its options
  std::vector<int64_t> rows_;                     // by layer, as a matrix
};

/// Bytes that one rank sends per step when nothing is compressed, mean over ranks.
double RawWireBytes(const BucketLayout& layout);

}  // namespace sluice
