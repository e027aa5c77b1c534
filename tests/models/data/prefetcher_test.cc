#include "models/data/prefetcher.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

class PrefetcherTest : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Ahead, PrefetcherTest, testing::Values(0, 1, 2, 5));

TEST_P(PrefetcherTest, GivesItemsInOrder) {
  Prefetcher<int64_t> items([](int64_t i) { return i * i; }, GetParam());
  for (int64_t i = 0; i < 300; ++i) ASSERT_EQ(*items.Take(i), i * i);
}

TEST_P(PrefetcherTest, JumpsToAnyItem) {
  Prefetcher<int64_t> items([](int64_t i) { return i; }, GetParam());
  for (int64_t i : {40, 41, 7, 7, 8, 1000, 0, 1}) ASSERT_EQ(*items.Take(i), i);
}

TEST_P(PrefetcherTest, AnErrorGoesToWhoTakesThatItem) {
  Prefetcher<int64_t> items(
      [](int64_t i) -> absl::StatusOr<int64_t> {
        if (i == 3) return absl::DataLossError("item 3");
        return i;
      },
      GetParam());
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
          highest = i;
          return i;
        },
        GetParam());
    for (int64_t i = 0; i < 20; ++i) {
      ASSERT_EQ(*items.Take(i), i);
      EXPECT_LE(highest, i + GetParam());
    }
  }
  EXPECT_LE(highest, 19 + GetParam());
}

TEST_P(PrefetcherTest, CarriesItemsThatOnlyMove) {
  Prefetcher<std::unique_ptr<int64_t>> items([](int64_t i) { return std::make_unique<int64_t>(i); },
                                             GetParam());
  for (int64_t i = 0; i < 10; ++i) ASSERT_EQ(**items.Take(i), i);
}

TEST_P(PrefetcherTest, ARestartForgetsWhatWasMadeBefore) {
  int64_t scale = 1;  // unguarded: Restart is what keeps it safe
  Prefetcher<int64_t> items([&](int64_t i) { return scale * i; }, GetParam());
  for (int64_t round = 1; round < 50; ++round) {
    for (int64_t i = round; i < round + 3; ++i) ASSERT_EQ(*items.Take(i), scale * i);
    items.Restart([&] { scale = round + 1; });
    ASSERT_EQ(*items.Take(round + 3), (round + 1) * (round + 3));
  }
}

TEST(Prefetcher, EndsWithoutATaker) {
  std::atomic<int> made{0};
  {
    Prefetcher<int> items([&](int64_t) { return ++made; }, 3);
  }
  EXPECT_EQ(made, 0);
}

TEST(Prefetcher, ItemsAreMadeOnOneOtherThread) {
  std::mutex mutex;
  std::set<std::thread::id> makers;
  {
    Prefetcher<int64_t> items(
        [&](int64_t i) {
          std::lock_guard<std::mutex> lock(mutex);
          makers.insert(std::this_thread::get_id());
          return i;
        },
        2);
    for (int64_t i = 0; i < 10; ++i) ASSERT_TRUE(items.Take(i).ok());
  }
  EXPECT_EQ(makers.size(), 1u);
  EXPECT_EQ(makers.count(std::this_thread::get_id()), 0u);
}

}  // namespace
}  // namespace sluice
