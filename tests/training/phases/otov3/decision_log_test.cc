#include "training/phases/otov3/decision_log.h"

#include "gtest/gtest.h"

namespace sluice::otov3 {
namespace {

const std::vector<ClassRange> kClasses = {{0, 0, 9}, {2, 9, 3}};

Decision At(int64_t step, DecisionKind kind, std::vector<int> groups) {
  Decision decision{step, kind, std::vector<bool>(12, false)};
  for (int g : groups) decision.groups[static_cast<size_t>(g)] = true;
  return decision;
}

DecisionLog Filled() {
  DecisionLog log(kClasses, 1);
  log.Append(At(3, DecisionKind::kRedundant, {0, 8, 9, 11}));
  log.Append(At(5, DecisionKind::kZero, {8}));
  log.Append(At(7, DecisionKind::kShrink, {0, 9, 11}));
  return log;
}

TEST(DecisionLog, ReadsWhatItWrote) {
  const std::string bytes = Filled().Write() + "rest";
  absl::string_view left = bytes;
  DecisionLog log(kClasses, 1);
  ASSERT_TRUE(log.Read(left).ok());
  EXPECT_EQ(left, "rest");
  EXPECT_EQ(log.digest(), Filled().digest());
  ASSERT_EQ(log.decisions().size(), 3u);
  EXPECT_EQ(log.decisions()[0].groups, Filled().decisions()[0].groups);
  EXPECT_EQ(log.decisions()[2].step, 7);
  EXPECT_EQ(log.decisions()[2].kind, DecisionKind::kShrink);
}

TEST(DecisionLog, AnyDifferenceIsAnotherDigest) {
  std::vector<uint64_t> digests = {Filled().digest(), DecisionLog(kClasses, 1).digest(),
                                   DecisionLog(kClasses, 2).digest(),
                                   DecisionLog({{0, 0, 8}, {2, 8, 4}}, 1).digest()};
  for (const Decision& last :
       {At(7, DecisionKind::kShrink, {0, 9}), At(8, DecisionKind::kShrink, {0, 9, 11}),
        At(7, DecisionKind::kZero, {0, 9, 11})}) {
    DecisionLog log(kClasses, 1);
    log.Append(At(3, DecisionKind::kRedundant, {0, 8, 9, 11}));
    log.Append(At(5, DecisionKind::kZero, {8}));
    log.Append(last);
    digests.push_back(log.digest());
  }
  for (size_t i = 0; i < digests.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(digests[i], digests[j]);
  }
}

TEST(DecisionLog, EveryTruncationIsDataLossAndChangesNothing) {
  const std::string bytes = Filled().Write();
  for (size_t n = 0; n < bytes.size(); ++n) {
    absl::string_view left = absl::string_view(bytes).substr(0, n);
    DecisionLog log(kClasses, 1);
    EXPECT_EQ(log.Read(left).code(), absl::StatusCode::kDataLoss) << "kept " << n << " bytes";
    EXPECT_TRUE(log.decisions().empty());
  }
}

TEST(DecisionLog, OneOfOtherGroupsIsRefused) {
  const std::string bytes = Filled().Write();
  absl::string_view left = bytes;
  DecisionLog log({{0, 0, 10}, {2, 10, 2}}, 1);
  EXPECT_EQ(log.Read(left).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace sluice::otov3
