#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/collective/scatter_reduce.h"
#include "comm/reducer/bucket_codec.h"
#include "comm/reducer/bucket_layout.h"
#include "comm/reducer/codec_plan.h"
#include "comm/reducer/reducer.h"
#include "comm/reducer/window_snapshot.h"
#include "comm/transport/transport.h"

namespace sluice {

/// The comm thread's half of the reducer: runs collectives one after the other, knows no threads.
///
///     BeginStep, Reduce(0), Reduce(1), ..., EndStep, Mean*, BeginStep, ...
///
/// \threadsafety comm thread only
class BucketReducer {
 public:
  /// All three must outlive it; but the destructor may run after the transport's.
  BucketReducer(const Reducer::Options& options, const BucketLayout& layout, Transport& transport);

  /// \param plan         in force in this step; must stay until the next BeginStep
  /// \param newest_plan  announced to the other ranks
  void BeginStep(Step step, const CodecPlan& plan, uint32_t newest_plan);

  /// `data`, the bucket's gradients of this rank, becomes the mean over ranks. In layout order.
  /// \error of the collective
  absl::Status Reduce(int bucket, absl::Span<float> data);

  /// After Reduce(0): the lowest of the newest versions that the ranks hold.
  uint32_t lowest_newest_plan() const { return codec_.lowest_newest_plan(); }

  /// plan_version, sent_bytes and encode of the step so far.
  ReductionStats stats();

  /// Hands the window over when it is complete. A profiler that cannot be reached is given up.
  void EndStep();

  /// data[i] = mean over ranks. \param number  of this mean after the last step, from 0
  absl::Status Mean(int number, absl::Span<float> data);

  std::vector<float> residual(int tensor) const { return codec_.Residual(tensor); }

 private:
  const Reducer::Options options_;
  Transport& transport_;
  std::optional<SnapshotSender> windows_;
  bool profiler_lost_ = false;
  BucketCodec codec_;
  ScatterReduceBuffers buffers_;
  Step step_;
  std::optional<uint32_t> plan_version_;
  uint32_t newest_plan_ = 0;
  int64_t sent_before_ = 0;
};

}  // namespace sluice
