#include "models/data/prefetcher.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>

#include "gtest/gtest.h"

namespace sluice {
namespace {

// (ahead, threads)
class PrefetcherTest : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  const int ahead_ = std::get<0>(GetParam());
  const int threads_ = std::get<1>(GetParam());
};

INSTANTIATE_TEST_SUITE_P(AheadAndThreads, PrefetcherTest,
                         testing::Combine(testing::Values(0, 1, 2, 5),
                                          testing::Values(0, 1, 2, 4)));

TEST_P(PrefetcherTest, GivesItemsInOrder) {
  Prefetcher<int64_t> items([](int64_t i) { return i * i; }, ahead_, threads_);
  for (int64_t i = 0; i < 300; ++i) ASSERT_EQ(*items.Take(i), i * i);
}

TEST_P(PrefetcherTest, JumpsToAnyItem) {
  Prefetcher<int64_t> items([](int64_t i) { return i; }, ahead_, threads_);
  for (int64_t i : {40, 41, 7, 7, 8, 1000, 0, 1}) ASSERT_EQ(*items.Take(i), i);
}

TEST_P(PrefetcherTest, AnErrorGoesToWhoTakesThatItem) {
  Prefetcher<int64_t> items(
      [](int64_t i) -> absl::StatusOr<int64_t> {
        if (i == 3) return absl::DataLossError("item 3");
        return i;
      },
      ahead_, threads_);
  for (int64_t i = 0; i < 6; ++i) {
    const auto item = items.Take(i);
    if (i == 3) {
      EXPECT_EQ(item.status(), absl::DataLossError("item 3"));
    } else {
      EXPECT_EQ(*item, i);
    }
  }
}

TEST_P(PrefetcherTest, MakesNoMoreThanAheadItemsBeyondTheOneTaken) {
  std::atomic<int64_t> highest{-1};
  {
    Prefetcher<int64_t> items(
        [&](int64_t i) {
          int64_t before = highest;
          while (before < i && !highest.compare_exchange_weak(before, i)) {
          }
          return i;
        },
        ahead_, threads_);
    for (int64_t i = 0; i < 20; ++i) {
      ASSERT_EQ(*items.Take(i), i);
      EXPECT_LE(highest, i + ahead_);
    }
  }
  EXPECT_LE(highest, 19 + ahead_);
}

TEST_P(PrefetcherTest, CarriesItemsThatOnlyMove) {
  Prefetcher<std::unique_ptr<int64_t>> items([](int64_t i) { return std::make_unique<int64_t>(i); },
                                             ahead_, threads_);
  for (int64_t i = 0; i < 10; ++i) ASSERT_EQ(**items.Take(i), i);
}

TEST_P(PrefetcherTest, ARestartForgetsWhatWasMadeBefore) {
  int64_t scale = 1;  // unguarded: Restart is what keeps it safe
  Prefetcher<int64_t> items([&](int64_t i) { return scale * i; }, ahead_, threads_);
  for (int64_t round = 1; round < 50; ++round) {
    for (int64_t i = round; i < round + 3; ++i) ASSERT_EQ(*items.Take(i), scale * i);
    items.Restart([&] { scale = round + 1; });
    ASSERT_EQ(*items.Take(round + 3), (round + 1) * (round + 3));
  }
}

TEST_P(PrefetcherTest, EndsWhateverIsBeingMade) {
  for (int64_t taken = 0; taken < 5; ++taken) {
    std::atomic<int> making{0};
    {
      Prefetcher<int64_t> items(
          [&](int64_t i) {
            ++making;
            std::this_thread::yield();
            --making;
            return i;
          },
          ahead_, threads_);
      for (int64_t i = 0; i < taken; ++i) ASSERT_EQ(*items.Take(i), i);
    }
    EXPECT_EQ(making, 0);
  }
}

TEST(Prefetcher, MakesNothingWithoutATaker) {
  std::atomic<int> made{0};
  {
    Prefetcher<int> items([&](int64_t) { return ++made; }, 3, 2);
  }
  EXPECT_EQ(made, 0);
}

// Items meet in `make`: it returns only when as many are being made as there are threads.
TEST(Prefetcher, EveryThreadMakesAnItemAtTheSameTime) {
  constexpr int kThreads = 3;
  std::mutex mutex;
  std::condition_variable all_here;
  std::set<std::thread::id> makers;
  Prefetcher<int64_t> items(
      [&](int64_t i) {
        std::unique_lock<std::mutex> lock(mutex);
        makers.insert(std::this_thread::get_id());
        all_here.notify_all();
        all_here.wait(lock, [&] { return makers.size() == kThreads; });
        return i;
      },
      8, kThreads);
  for (int64_t i = 0; i < 20; ++i) ASSERT_EQ(*items.Take(i), i);
  EXPECT_EQ(makers.count(std::this_thread::get_id()), 0u);
}

// The first of each four is held until the other three are done; not of those that nobody takes.
TEST(Prefetcher, ItemsFinishedOutOfOrderAreTakenInOrder) {
  constexpr int64_t kTaken = 16;
  std::mutex mutex;
  std::condition_variable done;
  std::set<int64_t> finished;
  Prefetcher<int64_t> items(
      [&](int64_t i) {
        std::unique_lock<std::mutex> lock(mutex);
        if (i % 4 == 0 && i < kTaken) done.wait(lock, [&] { return finished.count(i + 3) > 0; });
        finished.insert(i);
        done.notify_all();
        return i;
      },
      4, 2);
  for (int64_t i = 0; i < kTaken; ++i) ASSERT_EQ(*items.Take(i), i);
}

}  // namespace
}  // namespace sluice
