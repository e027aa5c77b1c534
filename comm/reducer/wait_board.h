#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice {

/// What a reducer waits for.
struct ReducerProgress {
  int bucket = -1;               ///< the oldest in flight; -1: none
  std::vector<int> waiting_for;  ///< ranks whose messages for it have not arrived, ascending
};

/// Where the comm thread says what it waits for, before it sleeps: a relaxed store per 64 ranks. A reader
/// may see parts of two such moments.
class WaitBoard {
 public:
  explicit WaitBoard(int ranks) : words_((static_cast<size_t>(ranks) + 63) / 64) {}

  /// Nothing is in flight. \threadsafety comm thread only
  void Clear() { bucket_.store(-1, std::memory_order_relaxed); }

  /// \param missing  called for every rank: whether its messages have not arrived
  /// \threadsafety comm thread only
  template <class Missing>
  void Post(int bucket, int ranks, Missing missing) {
    for (size_t w = 0; w < words_.size(); ++w) {
      uint64_t word = 0;
      for (int r = static_cast<int>(64 * w); r < ranks && r < static_cast<int>(64 * w + 64); ++r) {
        if (missing(r)) word |= uint64_t{1} << (r % 64);
      }
      words_[w].store(word, std::memory_order_relaxed);
    }
    bucket_.store(bucket, std::memory_order_relaxed);
  }

  /// \threadsafety any thread
  ReducerProgress Read() const {
    ReducerProgress progress;
    progress.bucket = bucket_.load(std::memory_order_relaxed);
    if (progress.bucket < 0) return progress;
    for (size_t w = 0; w < words_.size(); ++w) {
      const uint64_t word = words_[w].load(std::memory_order_relaxed);
      for (int bit = 0; bit < 64; ++bit) {
        if (word >> bit & 1) progress.waiting_for.push_back(static_cast<int>(64 * w) + bit);
      }
    }
    return progress;
  }

 private:
  std::atomic<int> bucket_{-1};
  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace sluice
