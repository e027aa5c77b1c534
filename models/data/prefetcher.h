#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "base/thread_name.h"

namespace sluice {

/// Makes items i, i + 1, ... ahead of the one who takes them, on a thread of its own.
///
///     Take(i)  <--  ready: i, i+1, ..., at most `ahead`  <--  loader thread: make(i + n)
///
/// An item whose `make` failed is its Status, given to whoever takes that item. Taking an item that
/// is not the next one (a resumed job's first step) drops what is ready and goes on from there.
/// \threadsafety one taker; `make` runs on the loader thread alone, or on the taker's if ahead is 0
template <class Item>
class Prefetcher {
 public:
  using Make = std::function<absl::StatusOr<Item>(int64_t)>;

  /// \param ahead  most items held ready; 0 = no thread, items are made when taken
  Prefetcher(Make make, int ahead) : make_(std::move(make)), ahead_(ahead) {
    if (ahead_ > 0) loader_ = std::thread([this] { Run(); });
  }
  /// Waits for the item being made, not for more.
  ~Prefetcher() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_loader_.notify_one();
    if (loader_.joinable()) loader_.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Item `index`, waiting for it if need be.
  absl::StatusOr<Item> Take(int64_t index) {
    if (ahead_ == 0) return make_(index);
    std::unique_lock<std::mutex> lock(mutex_);
    if (index != first_) {
      ready_.clear();
      first_ = next_ = index;
    }
    wake_loader_.notify_one();
    wake_taker_.wait(lock, [this] { return !ready_.empty(); });
    absl::StatusOr<Item> item = std::move(ready_.front());
    ready_.pop_front();
    ++first_;
    lock.unlock();
    wake_loader_.notify_one();
    return item;
  }

  /// Runs `change` while no item is being made, and forgets those made before: for what `make`
  /// depends on. The taker's.
  template <class Change>
  void Restart(Change change) {
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.clear();
    first_ = next_ = -1;
    wake_taker_.wait(lock, [this] { return !making_; });
    change();
  }

 private:
  void Run() {
    SetThreadName("loader");
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_loader_.wait(lock, [this] {
        return stop_ || (first_ >= 0 && static_cast<int>(ready_.size()) < ahead_);
      });
      if (stop_) return;
      const int64_t index = next_;
      making_ = true;
      lock.unlock();
      absl::StatusOr<Item> item = make_(index);
      lock.lock();
      making_ = false;
      if (index != next_) {  // the taker went elsewhere meanwhile
        wake_taker_.notify_one();
        continue;
      }
      ready_.push_back(std::move(item));
      ++next_;
      wake_taker_.notify_one();
    }
  }

  const Make make_;
  const int ahead_;
  // std rather than absl: the thread sanitizer sees through these.
  std::mutex mutex_;
  std::condition_variable wake_loader_;
  std::condition_variable wake_taker_;
  // Guarded by mutex_.
  std::deque<absl::StatusOr<Item>> ready_;  // items first_ .. next_ - 1
  int64_t first_ = -1;                      // what Take expects next; -1 before the first Take
  int64_t next_ = -1;                       // what the loader makes next
  bool making_ = false;
  bool stop_ = false;
  std::thread loader_;  // last: it uses all of the above
};

}  // namespace sluice
