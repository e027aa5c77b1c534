#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_name.h"

namespace sluice {

/// Makes items i, i + 1, ... ahead of the one who takes them, on threads of its own.
///
///     Take(i)  <--  items i, i+1, ..., at most `ahead`, ready or being made  <--  loader threads: make(i + n)
///
/// Items are begun and taken in order, whatever order they are finished in. An item whose `make` failed
/// is its Status, given to whoever takes that item. Taking an item that is not the next one (a resumed job's
/// first step) drops what is there and goes on from there.
/// \threadsafety one taker; `make` runs on all loader threads at once, or on the taker's if there are none
template <class Item>
class Prefetcher {
 public:
  using Make = std::function<absl::StatusOr<Item>(int64_t)>;

  /// \param ahead    most items held ready or being made
  /// \param threads  that make them; no more than `ahead` are started. If either is 0 there are none, and items
  ///                 are made when taken
  Prefetcher(Make make, int ahead, int threads) : make_(std::move(make)), ahead_(ahead) {
    for (int i = 0; i < std::min(ahead, threads); ++i) loaders_.emplace_back([this] { Run(); });
  }
  /// Waits for the items being made, not for more.
  ~Prefetcher() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_loaders_.notify_all();
    for (std::thread& loader : loaders_) loader.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Item `index`, waiting for it if need be.
  absl::StatusOr<Item> Take(int64_t index) {
    if (loaders_.empty()) return make_(index);
    std::unique_lock<std::mutex> lock(mutex_);
    if (index != first_) {
      Forget();
      first_ = index;
      wake_loaders_.notify_all();
    }
    wake_taker_.wait(lock, [this] { return !items_.empty() && items_.front().has_value(); });
    absl::StatusOr<Item> item = std::move(*items_.front());
    items_.pop_front();
    ++first_;
    lock.unlock();
    wake_loaders_.notify_one();
    return item;
  }

  /// Runs `change` while no item is being made, and forgets those made before: for what `make`
  /// depends on. The taker's.
  template <class Change>
  void Restart(Change change) {
    std::unique_lock<std::mutex> lock(mutex_);
    Forget();
    first_ = -1;
    wake_taker_.wait(lock, [this] { return making_ == 0; });
    change();
  }

 private:
  // Under the lock, as all that follows.
  void Forget() {
    items_.clear();
    ++round_;
  }

  void Run() {
    SetThreadName("loader");
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_loaders_.wait(lock, [this] {
        return stop_ || (first_ >= 0 && static_cast<int>(items_.size()) < ahead_);
      });
      if (stop_) return;
      const int64_t index = first_ + static_cast<int64_t>(items_.size());
      const int64_t round = round_;
      items_.emplace_back();
      ++making_;
      lock.unlock();
      absl::StatusOr<Item> item = make_(index);
      lock.lock();
      --making_;
      // The taker may have gone elsewhere meanwhile; but it passes over no item.
      if (round == round_) items_[index - first_] = std::move(item);
      wake_taker_.notify_one();
    }
  }

  const Make make_;
  const int ahead_;
  // std rather than absl: the thread sanitizer sees through these.
  std::mutex mutex_;
  std::condition_variable wake_loaders_;
  std::condition_variable wake_taker_;
  // Guarded by mutex_.
  std::deque<std::optional<absl::StatusOr<Item>>> items_;  // from first_ on; empty while being made
  int64_t first_ = -1;  // what Take expects next; -1 before the first Take
  int64_t round_ = 0;   // of forgetting: tells what was begun before from what is awaited
  int making_ = 0;
  bool stop_ = false;
  std::vector<std::thread> loaders_;  // last: they use all of the above
};

}  // namespace sluice
