#include "policies/solver/front.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;

std::vector<int> Indices(const Front& front) {
  std::vector<int> indices;
  for (const FrontOption& option : front) indices.push_back(option.index);
  return indices;
}

TEST(Front, KeepsUndominatedOptionsFromSmallestToMostExact) {
  EXPECT_THAT(Indices(UndominatedOptions({{9, 1}, {4, 3}, {6, 2}, {7, 2}, {6, 5}})),
              ElementsAre(1, 2, 0));
}

TEST(Front, OfEqualOptionsTheFirstStays) {
  EXPECT_THAT(Indices(UndominatedOptions({{3, 3}, {2, 2}, {2, 2}, {2, 2}})), ElementsAre(1));
}

TEST(Front, OfEqualSizesTheLeastErrorStays) {
  EXPECT_THAT(Indices(UndominatedOptions({{2, 5}, {2, 4}, {2, 9}})), ElementsAre(1));
}

TEST(LowerHull, LeavesOutOptionsAboveTheLineBetweenNeighbours) {
  // From least error: (10, 0), (6, 2), (5, 5), (0, 8); (5, 5) is above the line from (6, 2) to (0,
  // 8).
  const Front front = UndominatedOptions({{10, 0}, {6, 2}, {5, 5}, {0, 8}});
  EXPECT_THAT(LowerHull(front), ElementsAre(3, 2, 0));
}

TEST(LowerHull, LeavesOutOptionsOnTheLine) {
  const Front front = UndominatedOptions({{4, 0}, {2, 2}, {0, 4}});
  EXPECT_THAT(LowerHull(front), ElementsAre(2, 0));
}

}  // namespace
}  // namespace sluice
