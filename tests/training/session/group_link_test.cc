#include "training/session/group_link.h"

#include <functional>
#include <memory>
#include <numeric>
#include <thread>

#include "comm/transport/inproc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr absl::Duration kTimeout = absl::Seconds(30);

// Runs `body` on every rank, each on a thread of its own. \return what they return, by rank
std::vector<absl::Status> OnAllRanks(int ranks, absl::Duration timeout,
                                     const std::function<absl::Status(GroupLink&)>& body) {
  auto transports = CreateInprocTransports(ranks);
  std::vector<int> all(static_cast<size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  std::vector<absl::Status> statuses(all.size());
  std::vector<std::thread> threads;
  for (int rank : all) {
    threads.emplace_back([&, rank] {
      GroupLink link(*transports[rank], all, 0, std::vector<int>(all.size()), timeout);
      statuses[rank] = body(link);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

std::vector<std::string> Messages(const std::vector<absl::Status>& statuses) {
  std::vector<std::string> messages;
  for (const absl::Status& status : statuses) messages.emplace_back(status.message());
  return messages;
}

TEST(GroupLink, RanksThatCallTheSameAgree) {
  EXPECT_THAT(OnAllRanks(3, kTimeout,
                         [](GroupLink& link) {
                           return link.Agree("sum \"a\" [3]", {"x", "y"}, kTimeout);
                         }),
              Each(absl::OkStatus()));
}

TEST(GroupLink, EveryRankLearnsWhoCallsWhatElse) {
  const auto statuses = OnAllRanks(4, kTimeout, [](GroupLink& link) {
    return link.Agree(link.rank() == 2 ? "sum \"a\" [4]" : "sum \"a\" [3]");
  });
  EXPECT_THAT(Messages(statuses),
              Each("SL2001 ranks call different things: rank 2 has sum \"a\" [4] where ranks 0, 1, "
                   "3 have sum \"a\" [3]"));
  EXPECT_EQ(statuses[1].code(), absl::StatusCode::kFailedPrecondition);
}

TEST(GroupLink, TheFirstItemThatDiffersIsNamed) {
  const auto statuses = OnAllRanks(2, kTimeout, [](GroupLink& link) {
    const bool odd = link.rank() == 1;
    return link.Agree("an optimizer", {"\"a\" [1]", odd ? "\"b\" [2]" : "\"b\" [3]", "\"c\" [4]"},
                      kTimeout);
  });
  EXPECT_THAT(Messages(statuses),
              Each(HasSubstr("an optimizer: rank 1 has \"b\" [2] where rank 0 has \"b\" [3] "
                             "(number 2 of 3)")));
}

TEST(GroupLink, AnItemThatOthersDoNotHaveIsNamed) {
  const auto statuses = OnAllRanks(2, kTimeout, [](GroupLink& link) {
    std::vector<std::string> items = {"\"a\""};
    if (link.rank() == 0) items.push_back("\"b\"");
    return link.Agree("an optimizer", items, kTimeout);
  });
  EXPECT_THAT(Messages(statuses), Each(HasSubstr("rank 1 has no more where rank 0 has \"b\"")));
}

TEST(GroupLink, LongTextsThatDifferAtTheEndDiffer) {
  const auto statuses = OnAllRanks(2, kTimeout, [](GroupLink& link) {
    return link.Agree(std::string(2000, 'x') + (link.rank() == 0 ? "a" : "b"));
  });
  EXPECT_EQ(statuses[0].code(), absl::StatusCode::kFailedPrecondition);
}

TEST(GroupLink, AfterADisagreementRanksAreStillInStep) {
  EXPECT_THAT(OnAllRanks(2, kTimeout,
                         [](GroupLink& link) {
                           (void)link.Agree(link.rank() == 0 ? "a" : "b");
                           float one = 1;
                           absl::Status status = link.Sum({&one, 1});
                           return one == 2 ? status : absl::InternalError("another sum");
                         }),
              Each(absl::OkStatus()));
}

TEST(GroupLink, WhoDoesNotCallIsNamedAndNothingWorksAfterIt) {
  const auto statuses = OnAllRanks(3, absl::Seconds(2), [](GroupLink& link) -> absl::Status {
    if (link.rank() == 2) return absl::OkStatus();
    const absl::Status first = link.Agree("barrier");
    EXPECT_EQ(link.Agree("barrier"), first);
    return first;
  });
  for (int rank : {0, 1}) {
    EXPECT_THAT(std::string(statuses[rank].message()),
                HasSubstr("barrier: SL2002 rank 2 has not called it"));
  }
}

TEST(GroupLink, OneRankAloneAgreesWithItself) {
  EXPECT_THAT(OnAllRanks(1, kTimeout,
                         [](GroupLink& link) {
                           float one = 1;
                           (void)link.Sum({&one, 1});
                           return link.Agree("barrier");
                         }),
              Each(absl::OkStatus()));
}

TEST(GroupLink, SomeRanksDoSomethingOfTheirOwn) {
  auto transports = CreateInprocTransports(3);
  std::vector<std::thread> threads;
  std::vector<float> sums(3);
  for (int rank : {0, 2}) {
    threads.emplace_back([&, rank] {
      GroupLink link(*transports[rank], {0, 2}, 1, {0, 0}, kTimeout);
      sums[rank] = static_cast<float>(rank + 1);
      EXPECT_TRUE(link.Agree("sum").ok());
      EXPECT_TRUE(link.Sum({&sums[rank], 1}).ok());
      std::string text = link.rank() == 1 ? "of rank 2" : "";
      EXPECT_TRUE(link.Share(1, text).ok());
      EXPECT_EQ(text, "of rank 2");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sums, (std::vector<float>{4, 0, 4}));
}

}  // namespace
}  // namespace sluice
