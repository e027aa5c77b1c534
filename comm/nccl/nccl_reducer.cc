#include "comm/nccl/nccl_reducer.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/thread_name.h"
#include "comm/nccl/device_buckets.h"
#include "comm/nccl/gpu_status.h"
#include "comm/nccl/library.h"
#include "comm/nccl/poll.h"
#include "comm/nccl/raw_plans.h"
#include "comm/reducer/float_loops.h"

namespace sluice {
namespace {

absl::Status CheckOptions(const Reducer::Options& options, const BucketLayout& layout,
                          const NcclPlace& place) {
  if (options.world_size != layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("NCCL reducer: world size ", options.world_size,
                                                   ", but the layout is for ",
                                                   layout.world_size()));
  }
  if (place.self < Rank(0) || place.self >= Rank(options.world_size)) {
    return absl::InvalidArgumentError(absl::StrCat("NCCL reducer: ", ToString(place.self),
                                                   ", expected 0 to ", options.world_size - 1));
  }
  if (options.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "NCCL reducer: timeout ", absl::FormatDuration(options.timeout), ", expected more than 0"));
  }
  if (options.window_steps != 0) {
    return absl::UnimplementedError(absl::StrCat(
        "NCCL reducer: window_steps ", options.window_steps,
        ": the profiler's windows need the UCX transport; expected 0, with a fixed policy"));
  }
  return absl::OkStatus();
}

// State has three owners: the step loop, the comm thread, and what they share under mu_. A bucket's
// floats belong to the step loop until full_[bucket] is set, then to the comm thread until reduced_
// has passed the bucket. Of the buckets, the first reduced_ are done, those before started_ are in
// the stream, and the comm thread starts the next one when it is full.
class NcclReducer : public Reducer {
 public:
  NcclReducer(const Options& options, BucketLayout layout, const NcclPlace& place, std::string id,
              const GpuLibrary& gpu)
      : options_(options),
        layout_(std::move(layout)),
        place_(place),
        id_(std::move(id)),
        gpu_(gpu),
        missing_(layout_.buckets().size()),
        ready_(layout_.tensors().size()),
        full_(layout_.buckets().size()),
        times_(layout_.buckets().size()),
        started_(layout_.buckets().size()),
        reduced_(layout_.buckets().size()) {
    for (const BucketLayout::Bucket& bucket : layout_.buckets()) {
      const int64_t bytes = bucket.elements * static_cast<int64_t>(sizeof(float));
      sent_bytes_ += 2 * bytes * (options_.world_size - 1) / options_.world_size;
    }
  }

  ~NcclReducer() override {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      stop_ = true;
      if (aborted_.ok()) aborted_ = absl::CancelledError("the reducer is being destroyed");
    }
    wake_comm_.notify_one();
    if (comm_thread_.joinable()) comm_thread_.join();
  }

  absl::Status Start() {
    if (options_.initial_plan.version > 0) {
      CodecPlan plan = options_.initial_plan;
      plan.effective_step = options_.first_step;
      SLUICE_RETURN_IF_ERROR(plans_.Offer(plan, layout_));
    }
    std::unique_lock<std::mutex> lock(mu_);
    comm_thread_ = std::thread([this] { RunCommThread(); });
    wake_loop_.wait(lock, [&] { return up_; });
    return failure_;
  }

  absl::Span<float> gradient(int tensor) override {
    const BucketLayout::Place place = layout_.places()[tensor];
    return host_[place.bucket].subspan(place.offset, layout_.tensors()[tensor].elements);
  }

  void BeginStep(Step step) override {
    SLUICE_CHECK(!in_step_, "Finish comes before the next BeginStep");
    in_step_ = true;
    for (absl::Span<float> bucket : host_) std::fill(bucket.begin(), bucket.end(), 0.0f);
    std::fill(ready_.begin(), ready_.end(), false);
    for (size_t b = 0; b < missing_.size(); ++b) missing_[b] = layout_.buckets()[b].tensors.size();

    const std::lock_guard<std::mutex> lock(mu_);
    std::fill(full_.begin(), full_.end(), false);
    any_full_ = false;
    std::fill(times_.begin(), times_.end(), BucketTimes());
    begin_ = PollClock::now();
    step_ = step;
    stats_ = {};
    stats_.plan_version = plans_.InForce(step);
    started_ = reduced_ = failure_.ok() ? 0 : full_.size();
  }

  void Ready(int tensor) override {
    SLUICE_CHECK(in_step_ && !ready_[tensor], "a tensor is ready once per step");
    ready_[tensor] = true;
    const int bucket = layout_.places()[tensor].bucket;
    if (--missing_[bucket] == 0) HandOver(bucket);
  }

  // NCCL adds whatever it is given: the others find the mean not finite.
  void LossNotFinite() override {
    SLUICE_CHECK(in_step_, "BeginStep comes before LossNotFinite");
    host_.front().front() = std::numeric_limits<float>::quiet_NaN();
  }

  absl::StatusOr<ReductionStats> Finish() override {
    SLUICE_CHECK(in_step_, "BeginStep comes before Finish");
    const PollClock::time_point called = PollClock::now();
    for (size_t b = 0; b < missing_.size(); ++b) {
      if (std::exchange(missing_[b], 0) > 0) HandOver(static_cast<int>(b));
    }
    std::unique_lock<std::mutex> lock(mu_);
    wake_loop_.wait(lock, [&] { return reduced_ == full_.size(); });
    in_step_ = false;
    if (!failure_.ok()) return failure_;
    for (BucketTimes& times : times_) {
      const absl::Duration waited_from = std::max(times.started, absl::FromChrono(called - begin_));
      times.exposed = std::max(times.reduced - waited_from, absl::ZeroDuration());
    }
    stats_.exposed = absl::FromChrono(PollClock::now() - called);
    stats_.not_finite = InMean();
    return stats_;
  }

  absl::Span<const BucketTimes> bucket_times() const override { return times_; }

  // NCCL does not say which peer a byte went to, or when.
  std::optional<LinkEstimate> link(Rank) const override { return std::nullopt; }

  absl::Status AllReduceMean(absl::Span<float> data) override {
    SLUICE_CHECK(!in_step_, "AllReduceMean comes between steps");
    std::unique_lock<std::mutex> lock(mu_);
    if (!failure_.ok()) return failure_;
    mean_ = data;
    wake_comm_.notify_one();
    wake_loop_.wait(lock, [&] { return !mean_.has_value(); });
    return failure_;
  }

  absl::Status Transfer(Rank, absl::Span<const int> to, std::string&) override {
    if (to.empty()) return absl::OkStatus();
    return absl::UnimplementedError("NCCL reducer: bytes of one rank go over the UCX transport");
  }

  // Nothing is lost, so there is nothing to keep.
  absl::StatusOr<std::string> SaveState() override { return std::string(); }
  absl::Status LoadState(absl::string_view bytes, int64_t) override {
    if (bytes.empty()) return absl::OkStatus();
    return absl::UnimplementedError(
        absl::StrCat("NCCL reducer: ", bytes.size(), " bytes of a state that only encoding has"));
  }

  absl::Status ForgetResidual(int, absl::Span<const ElementRange>) override {
    return absl::OkStatus();
  }

  absl::Status OfferPlan(CodecPlan plan) override {
    const std::lock_guard<std::mutex> lock(mu_);
    return plans_.Offer(plan, layout_);
  }

  void Abort(absl::string_view reason) override {
    const std::lock_guard<std::mutex> lock(mu_);
    if (aborted_.ok()) aborted_ = absl::CancelledError(reason);
    wake_comm_.notify_one();
  }

  const BucketLayout& layout() const override { return layout_; }

  std::vector<float> residual(int tensor) const override {
    return std::vector<float>(layout_.tensors()[tensor].elements);
  }

  // Which peer it waits for NCCL does not say.
  ReducerProgress progress() const override { return {}; }

 private:
  // The same on all ranks, since their means are; whose gradient it was they cannot tell.
  std::optional<NotFinite> InMean() {
    for (const BucketLayout::Bucket& bucket : layout_.buckets()) {
      for (int tensor : bucket.tensors) {
        if (!AllFinite(gradient(tensor))) return NotFinite{tensor, {}};
      }
    }
    return std::nullopt;
  }

  void HandOver(int bucket) {
    const std::lock_guard<std::mutex> lock(mu_);
    full_[bucket] = true;
    const PollClock::time_point now = PollClock::now();
    if (!std::exchange(any_full_, true)) first_full_ = now;
    times_[bucket].ready = absl::FromChrono(now - begin_);
    if (static_cast<size_t>(bucket) == started_) wake_comm_.notify_one();
  }

  PollClock::time_point NextDeadline() const {
    // Not more than a CUDA call could ever need, and small enough to add to any time.
    const absl::Duration timeout = std::min(options_.timeout, absl::Hours(24 * 365));
    return PollClock::now() + absl::ToChronoNanoseconds(timeout);
  }

  absl::Status aborted() {
    const std::lock_guard<std::mutex> lock(mu_);
    return aborted_;
  }

  void RunCommThread() {
    SetThreadName("sluice-nccl");
    auto buckets =
        DeviceBuckets::Create(gpu_, layout_, place_, id_, {NextDeadline(), NoInterruption});
    std::unique_lock<std::mutex> lock(mu_);
    up_ = true;
    failure_ = buckets.status();
    if (buckets.ok()) {
      for (size_t b = 0; b < full_.size(); ++b) {
        host_.push_back((*buckets)->host(static_cast<int>(b)));
      }
    }
    wake_loop_.notify_one();
    if (buckets.ok()) Serve(**buckets, lock);
    lock.unlock();  // and the buckets go here: CUDA and NCCL know one thread of ours
  }

  // Works until stop_. `lock` is held on entry, on return and whenever shared state is used.
  void Serve(DeviceBuckets& buckets, std::unique_lock<std::mutex>& lock) {
    while (!stop_) {
      if (mean_.has_value()) {
        ServeMean(buckets, lock);
      } else if (started_ < full_.size() && full_[started_]) {
        StartBucket(buckets, lock);
      } else if (reduced_ < started_) {
        LookAtBucket(buckets, lock);
      } else {
        wake_comm_.wait(lock);
      }
    }
  }

  void ServeMean(DeviceBuckets& buckets, std::unique_lock<std::mutex>& lock) {
    absl::Status status = aborted_;
    lock.unlock();
    const auto interruption = [&] { return aborted(); };
    if (status.ok()) status = buckets.Mean(*mean_, {NextDeadline(), interruption});
    if (!status.ok()) buckets.Abort();
    lock.lock();
    if (!status.ok()) failure_ = Annotate(status, absl::StrCat("mean after ", ToString(step_)));
    mean_.reset();
    wake_loop_.notify_one();
  }

  void StartBucket(DeviceBuckets& buckets, std::unique_lock<std::mutex>& lock) {
    const int bucket = static_cast<int>(started_);
    times_[bucket].started = absl::FromChrono(PollClock::now() - begin_);
    absl::Status status = aborted_;
    lock.unlock();
    const PollClock::time_point deadline = NextDeadline();
    const auto interruption = [&] { return aborted(); };
    if (status.ok()) status = buckets.Start(bucket, {deadline, interruption});
    if (!status.ok()) return Fail(bucket, status, buckets, lock);
    lock.lock();
    if (started_ == reduced_) deadline_ = deadline;
    ++started_;
  }

  void LookAtBucket(DeviceBuckets& buckets, std::unique_lock<std::mutex>& lock) {
    const int bucket = static_cast<int>(reduced_);
    absl::StatusOr<bool> done = false;
    if (!aborted_.ok()) done = aborted_;
    lock.unlock();
    if (done.ok()) done = buckets.Done(bucket);
    const PollClock::time_point now = PollClock::now();
    if (done.ok() && !*done && now >= deadline_) {
      done = absl::DeadlineExceededError(absl::StrCat(ToString(place_.self), " device ",
                                                      place_.device, ": not reduced after ",
                                                      absl::FormatDuration(options_.timeout)));
    }
    if (!done.ok()) return Fail(bucket, done.status(), buckets, lock);
    lock.lock();
    if (!*done) {
      wake_comm_.wait_for(lock, kPollInterval);
      return;
    }
    deadline_ = NextDeadline();
    times_[bucket].received = times_[bucket].reduced = absl::FromChrono(now - begin_);
    if (++reduced_ < full_.size()) return;
    stats_.sent_bytes = sent_bytes_;
    stats_.communication = absl::FromChrono(now - first_full_);
    wake_loop_.notify_one();
  }

  // Locks.
  void Fail(int bucket, const absl::Status& status, DeviceBuckets& buckets,
            std::unique_lock<std::mutex>& lock) {
    buckets.Abort();
    lock.lock();
    failure_ = Annotate(status, absl::StrCat(ToString(step_), " bucket ", bucket));
    started_ = reduced_ = full_.size();
    wake_loop_.notify_one();
  }

  const Options options_;
  const BucketLayout layout_;
  const NcclPlace place_;
  const std::string id_;
  const GpuLibrary& gpu_;
  int64_t sent_bytes_ = 0;  // per step

  // Step loop; host_ is set by the comm thread before Start returns.
  std::vector<absl::Span<float>> host_;  // by bucket; the floats are handed back and forth
  std::vector<size_t> missing_;          // by bucket: tensors not ready
  std::vector<bool> ready_;              // by tensor
  bool in_step_ = false;

  // Comm thread.
  PollClock::time_point deadline_;  // of bucket reduced_

  // Both, under mu_. A std::mutex because ThreadSanitizer cannot see into the system's absl::Mutex.
  std::mutex mu_;
  std::condition_variable wake_comm_;
  std::condition_variable wake_loop_;
  bool up_ = false;
  bool stop_ = false;
  RawPlans plans_;
  Step step_{-1};
  std::vector<bool> full_;  // by bucket
  bool any_full_ = false;
  PollClock::time_point begin_;
  PollClock::time_point first_full_;
  std::vector<BucketTimes> times_;  // by bucket
  size_t started_;
  size_t reduced_;
  std::optional<absl::Span<float>> mean_;
  ReductionStats stats_;
  absl::Status aborted_;
  absl::Status failure_;

  std::thread comm_thread_;  // last: uses all of the above
};

}  // namespace

absl::StatusOr<std::string> NewNcclId(const GpuLibrary& gpu) {
  ncclUniqueId id;
  SLUICE_RETURN_IF_ERROR(
      FromNccl(gpu, gpu.nccl.GetUniqueId(&id), /*comm=*/nullptr, "ncclGetUniqueId"));
  return std::string(id.internal, sizeof(id.internal));
}

absl::StatusOr<std::unique_ptr<Reducer>> CreateNcclReducer(const Reducer::Options& options,
                                                           BucketLayout layout,
                                                           const NcclPlace& place, std::string id,
                                                           const GpuLibrary& gpu) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options, layout, place));
  auto reducer =
      std::make_unique<NcclReducer>(options, std::move(layout), place, std::move(id), gpu);
  SLUICE_RETURN_IF_ERROR(reducer->Start());
  return reducer;
}

}  // namespace sluice
