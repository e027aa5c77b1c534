#include "comm/reducer/reducer.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/thread_name.h"
#include "comm/reducer/bucket_reducer.h"
#include "comm/reducer/plan_ledger.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

absl::Status CheckOptions(const Reducer::Options& options, const BucketLayout& layout) {
  if (options.world_size != layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("reducer: world size ", options.world_size,
                                                   ", but the layout is for ",
                                                   layout.world_size()));
  }
  if (options.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reducer: timeout ", absl::FormatDuration(options.timeout), ", expected more than 0"));
  }
  if (options.window_steps < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("reducer: window_steps ", options.window_steps, ", expected 0 or more"));
  }
  if (!(options.window_decay > 0 && options.window_decay <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("reducer: window_decay ", options.window_decay, ", expected (0, 1]"));
  }
  return absl::OkStatus();
}

absl::Status CheckTransport(const Reducer::Options& options, const Transport& transport) {
  const int needed =
      options.world_size + (options.world_size > 1 && options.window_steps > 0 ? 1 : 0);
  if (transport.peers() < needed || transport.self() >= Rank(options.world_size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reducer: ", ToString(transport.self()), " of ", transport.peers(),
        " peers, expected a rank below ", options.world_size, " and ", needed, " peers"));
  }
  return absl::OkStatus();
}

// State has three owners: the step loop, the comm thread, and what they share under mu_. A bucket's
// floats belong to the step loop until full_[bucket] is set, then to the comm thread until all
// buckets are reduced.
class ThreadedReducer : public Reducer {
 public:
  ThreadedReducer(const Options& options, BucketLayout layout)
      : options_(options),
        layout_(std::move(layout)),
        missing_(layout_.buckets().size()),
        ready_(layout_.tensors().size()),
        board_(options_.world_size),
        ledger_(layout_),
        step_(options.first_step - 1),
        full_(layout_.buckets().size()),
        ready_times_(layout_.buckets().size()),
        times_(layout_.buckets().size()),
        next_(layout_.buckets().size()),
        reduced_(layout_.buckets().size()) {
    for (const BucketLayout::Bucket& bucket : layout_.buckets()) {
      gradients_.emplace_back(bucket.elements);
    }
  }

  ~ThreadedReducer() override {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      stop_ = true;
      if ((busy_ || in_flight_ > 0) && transport_ != nullptr)
        transport_->Abort("the reducer is being destroyed");
      WakeComm();
    }
    if (comm_thread_.joinable()) comm_thread_.join();
  }

  absl::Status Start(TransportFactory make_transport) {
    SLUICE_RETURN_IF_ERROR(Annotate(ledger_.Begin(options_.initial_plan), "reducer"));
    std::unique_lock<std::mutex> lock(mu_);
    comm_thread_ = std::thread(
        [this, make_transport = std::move(make_transport)] { RunCommThread(make_transport); });
    wake_loop_.wait(lock, [&] { return started_; });
    return failure_;
  }

  absl::Span<float> gradient(int tensor) override {
    const BucketLayout::Place place = layout_.places()[tensor];
    return gradients_[place.bucket].span().subspan(place.offset,
                                                   layout_.tensors()[tensor].elements);
  }

  void BeginStep(Step step) override {
    SLUICE_CHECK(!in_step_, "Finish comes before the next BeginStep");
    SLUICE_CHECK(step >= options_.first_step, "steps begin with the first one");
    in_step_ = true;
    std::fill(ready_.begin(), ready_.end(), false);
    for (size_t b = 0; b < missing_.size(); ++b) missing_[b] = layout_.buckets()[b].tensors.size();
    means_ = 0;

    const std::lock_guard<std::mutex> lock(mu_);
    std::fill(full_.begin(), full_.end(), false);
    any_full_ = false;
    loss_not_finite_ = false;
    step_ = step;
    begin_ = Clock::now();
    newest_plan_ = ledger_.newest();
    next_ = failure_.ok() ? 0 : full_.size();
    reduced_ = next_;
  }

  void Ready(int tensor) override {
    SLUICE_CHECK(in_step_ && !ready_[tensor], "a tensor is ready once per step");
    ready_[tensor] = true;
    const int bucket = layout_.places()[tensor].bucket;
    if (--missing_[bucket] == 0) HandOver(bucket);
  }

  void LossNotFinite() override {
    SLUICE_CHECK(in_step_, "BeginStep comes before LossNotFinite");
    const std::lock_guard<std::mutex> lock(mu_);
    SLUICE_CHECK(!any_full_, "a loss comes before its gradients");
    loss_not_finite_ = true;
  }

  absl::StatusOr<ReductionStats> Finish() override {
    SLUICE_CHECK(in_step_, "BeginStep comes before Finish");
    const Clock::time_point begin = Clock::now();
    for (size_t t = 0; t < ready_.size(); ++t) {
      if (ready_[t]) continue;
      const absl::Span<float> unused = gradient(static_cast<int>(t));
      std::fill(unused.begin(), unused.end(), 0.0f);
    }
    for (size_t b = 0; b < missing_.size(); ++b) {
      if (std::exchange(missing_[b], 0) > 0) HandOver(static_cast<int>(b));
    }
    std::unique_lock<std::mutex> lock(mu_);
    wake_loop_.wait(lock, [&] { return reduced_ == full_.size(); });
    in_step_ = false;
    if (!failure_.ok()) return failure_;
    stats_.exposed = absl::FromChrono(Clock::now() - begin);
    const absl::Duration waited_from = absl::FromChrono(begin - begin_);
    for (size_t b = 0; b < times_.size(); ++b) {
      times_[b].ready = ready_times_[b];
      times_[b].exposed = std::max(absl::ZeroDuration(),
                                   times_[b].reduced - std::max(waited_from, times_[b].started));
    }
    return stats_;
  }

  absl::Span<const BucketTimes> bucket_times() const override { return times_; }

  std::optional<LinkEstimate> link(Rank peer) const override { return bucket_reducer_->link(peer); }

  absl::Status AllReduceMean(absl::Span<float> data) override {
    const int number = means_++;
    const Step step = step_;  // that this thread alone changes
    return Communicate("mean", [&] { return bucket_reducer_->Mean(step, number, data); });
  }

  absl::Status Transfer(Rank from, absl::Span<const int> to, std::string& bytes) override {
    CheckBetweenSteps();
    return Communicate("state", [&] { return bucket_reducer_->Transfer(from, to, bytes); });
  }

  absl::StatusOr<std::string> SaveState() override {
    CheckBetweenSteps();
    std::string bytes;
    SLUICE_RETURN_IF_ERROR(OnCommThread([&] {
      bytes = bucket_reducer_->SaveState();
      return absl::OkStatus();
    }));
    return bytes;
  }

  absl::Status LoadState(absl::string_view bytes, int64_t decided_window) override {
    CheckBetweenSteps();
    return OnCommThread([&] { return bucket_reducer_->LoadState(bytes, decided_window); });
  }

  absl::Status OfferPlan(CodecPlan plan) override {
    const std::lock_guard<std::mutex> lock(mu_);
    return ledger_.Offer(std::move(plan));
  }

  void Abort(absl::string_view reason) override {
    const std::lock_guard<std::mutex> lock(mu_);
    if (aborted_.ok()) aborted_ = absl::CancelledError(reason);
    if (transport_ != nullptr) transport_->Abort(reason);
  }

  ReducerProgress progress() const override { return board_.Read(); }

  const BucketLayout& layout() const override { return layout_; }

  absl::Status ForgetResidual(int tensor, absl::Span<const ElementRange> ranges) override {
    return OnCommThread([&] {
      bucket_reducer_->ForgetResidual(tensor, ranges);
      return absl::OkStatus();
    });
  }

  std::vector<float> residual(int tensor) const override {
    return bucket_reducer_->residual(tensor);
  }

 private:
  using Work = absl::FunctionRef<absl::Status()>;

  void CheckBetweenSteps() const {
    SLUICE_CHECK(!in_step_, "transfers and states come between steps");
  }

  // Lets the comm thread do `work` and waits for it.
  absl::Status OnCommThread(Work work) {
    std::unique_lock<std::mutex> lock(mu_);
    if (!failure_.ok()) return failure_;
    work_.emplace(work);
    WakeComm();
    wake_loop_.wait(lock, [&] { return !work_.has_value(); });
    return worked_;
  }

  // The same for work with other ranks: after an error nobody knows where these are.
  absl::Status Communicate(absl::string_view what, Work work) {
    const absl::Status status = OnCommThread(work);
    if (status.ok()) return status;
    const std::lock_guard<std::mutex> lock(mu_);
    if (failure_.ok()) {
      failure_ =
          Annotate(status, absl::StrCat(what, in_step_ ? " in " : " after ", ToString(step_)));
    }
    return failure_;
  }

  void HandOver(int bucket) {
    const std::lock_guard<std::mutex> lock(mu_);
    full_[bucket] = true;
    const Clock::time_point now = Clock::now();
    ready_times_[bucket] = absl::FromChrono(now - begin_);
    if (!std::exchange(any_full_, true)) first_full_ = now;
    if (static_cast<size_t>(bucket) == next_) WakeComm();
  }

  // Under mu_: wherever it sleeps.
  void WakeComm() {
    wake_comm_.notify_one();
    if (advancing_) transport_->Wake();
  }

  void RunCommThread(const TransportFactory& make_transport) {
    SetThreadName("sluice-comm");
    absl::StatusOr<std::unique_ptr<Transport>> transport = make_transport();
    absl::Status usable =
        transport.ok() ? CheckTransport(options_, **transport) : transport.status();
    if (usable.ok()) {
      bucket_reducer_ = std::make_unique<BucketReducer>(options_, layout_, **transport, board_);
    }
    std::unique_lock<std::mutex> lock(mu_);
    started_ = true;
    failure_ = usable;
    if (usable.ok()) transport_ = transport->get();
    wake_loop_.notify_one();
    if (usable.ok()) Serve(lock);
    transport_ = nullptr;
    lock.unlock();
    if (usable.ok()) bucket_reducer_->Cancel();
    if (transport.ok()) transport->reset();  // here, and before bucket_reducer_ with its buffers
  }

  // Works until stop_. `lock` is held on entry, on return and whenever shared state is used.
  void Serve(std::unique_lock<std::mutex>& lock) {
    for (;;) {
      wake_comm_.wait(lock, [&] {
        return stop_ || work_.has_value() || in_flight_ > 0 || CanStart() ||
               bucket_reducer_->window_leaving();
      });
      if (stop_) return;
      if (work_.has_value()) {
        busy_ = true;
        ServeWork(lock);
        busy_ = false;
      } else if (CanStart()) {
        StartNext(lock);
      } else if (in_flight_ > 0) {
        AdvanceOnce(lock);
      } else {
        AwaitWindow(lock);
      }
    }
  }

  bool CanStart() const {
    return next_ < full_.size() && full_[next_] &&
           bucket_reducer_->CanStart(static_cast<int>(next_));
  }

  void ServeWork(std::unique_lock<std::mutex>& lock) {
    absl::Status status = failure_.ok() ? aborted_ : failure_;
    lock.unlock();
    if (status.ok()) status = (*work_)();
    // Buckets in flight cannot end any more either.
    if (!status.ok()) bucket_reducer_->Cancel();
    lock.lock();
    if (!status.ok()) EndStep();
    worked_ = status;
    work_.reset();
    wake_loop_.notify_one();
  }

  void StartNext(std::unique_lock<std::mutex>& lock) {
    const int bucket = static_cast<int>(next_);
    if (bucket == 0) {
      const CodecPlan& plan = ledger_.InForce(step_);
      const uint32_t newest_plan = newest_plan_;
      const Step step = step_;
      const Clock::time_point begin = begin_;
      lock.unlock();  // the plan stays where it is until this thread asks for the next one
      bucket_reducer_->BeginStep(step, plan, newest_plan, begin);
      lock.lock();
    }
    if (!aborted_.ok()) {
      FailAt(bucket, aborted_);
      return;
    }
    ++next_;
    const bool loss_not_finite = loss_not_finite_;
    if (options_.world_size == 1) {
      lock.unlock();
      bucket_reducer_->Inspect(bucket, gradients_[bucket].span(), loss_not_finite);
      lock.lock();
      Reduced(bucket, lock);
      return;
    }
    ++in_flight_;
    lock.unlock();
    bucket_reducer_->Start(bucket, gradients_[bucket].span(), loss_not_finite);
    lock.lock();
  }

  void AdvanceOnce(std::unique_lock<std::mutex>& lock) {
    busy_ = true;
    advancing_ = true;
    lock.unlock();
    const absl::StatusOr<std::optional<int>> reduced = bucket_reducer_->Advance();
    lock.lock();
    advancing_ = false;
    if (!reduced.ok()) {
      Fail(reduced.status());
    } else if (reduced->has_value()) {
      --in_flight_;
      Reduced(**reduced, lock);
    }
    busy_ = false;
  }

  // Between steps, when the step loop may be waiting for the very plan that the window leads to.
  void AwaitWindow(std::unique_lock<std::mutex>& lock) {
    advancing_ = true;
    lock.unlock();
    bucket_reducer_->AwaitWindow();
    lock.lock();
    advancing_ = false;
  }

  // Nothing is in flight any more.
  void Fail(const absl::Status& status) {
    failure_ = status;
    EndStep();
    wake_loop_.notify_one();
  }

  void EndStep() {
    in_flight_ = 0;
    next_ = full_.size();
    reduced_ = full_.size();
  }

  void FailAt(int bucket, const absl::Status& status) {
    Fail(Annotate(status, absl::StrCat(ToString(step_), " bucket ", bucket)));
  }

  void Reduced(int bucket, std::unique_lock<std::mutex>& lock) {
    if (bucket == 0) {
      const absl::Status agreed = ledger_.Agree(
          options_.world_size > 1 ? bucket_reducer_->lowest_newest_plan() : newest_plan_);
      if (!agreed.ok()) {
        bucket_reducer_->Cancel();
        FailAt(bucket, agreed);
        return;
      }
    }
    if (++reduced_ < full_.size()) return;
    stats_ = bucket_reducer_->Conclude();
    stats_.communication = absl::FromChrono(Clock::now() - first_full_);
    const auto times = bucket_reducer_->bucket_times();
    std::copy(times.begin(), times.end(), times_.begin());
    busy_ = false;  // EndStep does not wait: nothing to abort
    wake_loop_.notify_one();
    lock.unlock();  // the step loop goes on while a window leaves
    bucket_reducer_->EndStep();
    lock.lock();
  }

  const Options options_;
  const BucketLayout layout_;

  // Step loop.
  std::vector<AlignedFloats> gradients_;  // by bucket; handed back and forth
  std::vector<size_t> missing_;           // by bucket: tensors not ready
  std::vector<bool> ready_;               // by tensor
  bool in_step_ = false;
  int means_ = 0;  // since the last step

  WaitBoard board_;  // written by the comm thread, read by any

  // Comm thread; the step loop reads residuals while the comm thread is idle.
  std::unique_ptr<BucketReducer> bucket_reducer_;

  // Both, under mu_. A std::mutex because ThreadSanitizer cannot see into the system's absl::Mutex.
  mutable std::mutex mu_;
  std::condition_variable wake_comm_;
  std::condition_variable wake_loop_;
  bool started_ = false;
  bool stop_ = false;
  bool busy_ = false;               // the comm thread is in a collective
  bool advancing_ = false;          // it may sleep in the transport, and is to be woken for more
  int in_flight_ = 0;               // buckets
  Transport* transport_ = nullptr;  // for Abort
  PlanLedger ledger_;
  Step step_;                                // begun last
  uint32_t newest_plan_ = 0;                 // sampled at BeginStep
  Clock::time_point begin_;                  // of the step
  std::vector<bool> full_;                   // by bucket
  std::vector<absl::Duration> ready_times_;  // by bucket, since begin_
  std::vector<BucketTimes> times_;
  bool any_full_ = false;
  bool loss_not_finite_ = false;
  Clock::time_point first_full_;
  size_t next_;               // bucket to start; all are between steps
  size_t reduced_;            // how many buckets are; all of them between steps
  std::optional<Work> work_;  // that the step loop waits for
  absl::Status worked_;       // what it came to
  ReductionStats stats_;
  absl::Status aborted_;
  absl::Status failure_;

  std::thread comm_thread_;  // last: uses all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<Reducer>> Reducer::Create(const Options& options,
                                                         BucketLayout layout,
                                                         TransportFactory make_transport) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options, layout));
  auto reducer = std::make_unique<ThreadedReducer>(options, std::move(layout));
  SLUICE_RETURN_IF_ERROR(reducer->Start(std::move(make_transport)));
  return reducer;
}

}  // namespace sluice
