#include "policies/solver/suffix_bound.h"

#include "gtest/gtest.h"
#include "policies/solver/relaxation.h"
#include "tests/policies/solver/random_instance.h"

namespace sluice {
namespace {

/// The relaxation of the layers from `first` on, built anew.
int64_t Fresh(const std::vector<Front>& fronts, size_t first, int64_t slack) {
  const std::vector<Front> rest(fronts.begin() + first, fronts.end());
  int64_t budget = slack;
  for (const Front& front : rest) budget += front.back().error;
  return Relaxation(rest, budget).bound();
}

TEST(SuffixBound, EqualsTheRelaxationOfTheRemainingLayersAtAnySlack) {
  for (uint64_t i = 0; i < 300; ++i) {
    std::vector<Front> fronts;
    for (const auto& options : RandomInstance(RandomKey(5).With(i), {10, 8, 1000}).layers) {
      fronts.push_back(UndominatedOptions(options));
    }
    SuffixBound bound(fronts);
    Draws draws(RandomKey(6).With(i));
    for (size_t first = 0; first < fronts.size(); ++first) {
      if (first > 0) bound.Remove(static_cast<int32_t>(first - 1));
      for (int ask = 0; ask < 20; ++ask) {
        const int64_t slack = draws.Between(0, 8000);
        const int64_t fresh = Fresh(fronts, first, slack);
        ASSERT_EQ(bound.Bound(slack), fresh) << "instance " << i << " from layer " << first;
        ASSERT_TRUE(bound.MayFit(fresh, slack));
        ASSERT_FALSE(bound.MayFit(fresh - 1, slack));
      }
    }
  }
}

}  // namespace
}  // namespace sluice
