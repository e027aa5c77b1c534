#include "comm/reducer/bucket_reducer.h"

#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "comm/collective/ring_all_reduce.h"
#include "comm/reducer/float_loops.h"

namespace sluice {
namespace {

// Names of operations (docs/wire_formats.md). Ranks are at most one operation apart, so 16 bits of
// the step are plenty. The last 256 slots are kept for means; the very last one is never used,
// since with it the tag would be kSnapshotTag.
constexpr uint32_t kFirstMeanSlot = BucketLayout::kMaxBuckets;
constexpr uint32_t kMeanSlots = 128;

uint32_t OperationName(Step step, uint32_t slot) {
  return (static_cast<uint32_t>(step.value) & 0xffff) << 16 | slot;
}

}  // namespace

BucketReducer::BucketReducer(const Reducer::Options& options, const BucketLayout& layout,
                             Transport& transport)
    : options_(options),
      transport_(transport),
      windows_(options.window_steps > 0 && options.world_size > 1
                   ? std::make_optional<SnapshotSender>(layout, transport.self(),
                                                        Rank(options.world_size),
                                                        options.window_steps, options.window_decay)
                   : std::nullopt),
      codec_(layout, transport.self(), options.error_feedback, options.seed,
             windows_ ? &*windows_ : nullptr) {}

void BucketReducer::BeginStep(Step step, const CodecPlan& plan, uint32_t newest_plan) {
  step_ = step;
  newest_plan_ = newest_plan;
  // In a world of one nothing is ever encoded: no residuals.
  if (plan_version_ != plan.version && options_.world_size > 1) codec_.UsePlan(plan);
  plan_version_ = plan.version;
  sent_before_ = transport_.counters().sent_bytes;
  codec_.TakeBusyTime();
}

absl::Status BucketReducer::Reduce(int bucket, absl::Span<float> data) {
  codec_.Start(step_, bucket, newest_plan_, data);
  return ScatterReduceAllGather(
      {transport_, options_.world_size, OperationName(step_, static_cast<uint32_t>(bucket)),
       absl::Now() + options_.timeout},
      codec_, buffers_);
}

ReductionStats BucketReducer::stats() {
  ReductionStats stats;
  stats.plan_version = *plan_version_;
  stats.sent_bytes = transport_.counters().sent_bytes - sent_before_;
  stats.encode = codec_.TakeBusyTime();
  return stats;
}

void BucketReducer::EndStep() {
  if (!windows_ || profiler_lost_) return;
  const absl::Status sent = windows_->EndStep(step_, transport_);
  if (sent.ok()) return;
  profiler_lost_ = true;
  SLUICE_LOG(Warning, "no more windows for the profiler after ", ToString(step_),
             ", the plan stays as it is: ", sent.message());
}

absl::Status BucketReducer::Mean(int number, absl::Span<float> data) {
  const uint32_t slot = kFirstMeanSlot + static_cast<uint32_t>(number) % kMeanSlots;
  SLUICE_RETURN_IF_ERROR(RingAllReduce(
      {transport_, options_.world_size, OperationName(step_, slot), absl::Now() + options_.timeout},
      data));
  Scale(1.0f / static_cast<float>(options_.world_size), data);
  return absl::OkStatus();
}

}  // namespace sluice
