#include "training/phases/otov3/group_view.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/phases/otov3/toy_network.h"

namespace sluice::otov3 {
namespace {

using ::testing::HasSubstr;

// Whether element i of a tensor belongs to index `unit` of dimension `dim`.
bool Belongs(const std::vector<int64_t>& shape, size_t dim, int64_t unit, int64_t i) {
  int64_t inner = 1;
  for (size_t d = dim + 1; d < shape.size(); ++d) inner *= shape[d];
  return i / inner % shape[dim] == unit;
}

TEST(GroupView, GroupsComeInTheOrderOfClassAndUnit) {
  const ToyNetwork toy(1);
  const GroupView view = *GroupView::Create(toy.groups, toy.parameters);
  ASSERT_EQ(view.size(), 21);
  ASSERT_EQ(view.classes().size(), 2u);
  EXPECT_EQ(view.classes()[1].first, 12);
  EXPECT_EQ(view.classes()[1].units, 9);
  for (int g = 0; g < 12; ++g) EXPECT_EQ(view.group(g).unit, g);
  EXPECT_EQ(view.elements(3), 6);
  EXPECT_EQ(view.elements(12), 12);
}

TEST(GroupView, SumsAreThoseOfTheElements) {
  ToyNetwork toy(2);
  const GroupView view = *GroupView::Create(toy.groups, toy.parameters);
  std::vector<float> copy(static_cast<size_t>(view.copied_elements()));
  for (int g = 0; g < view.size(); ++g) view.Gather(g, toy.spans, absl::MakeSpan(copy));
  const std::vector<std::vector<float>> before = toy.values;
  toy.Step(3, 0.25);
  for (int unit = 0; unit < 9; ++unit) {
    double xx = 0, xd = 0, dd = 0;
    for (size_t i = 0; i < before[0].size(); ++i) {
      if (!Belongs(toy.parameters[0].shape, 1, unit, static_cast<int64_t>(i))) continue;
      const double x = before[0][i], d = (x - toy.values[0][i]) / 0.25;
      xx += x * x;
      xd += x * d;
      dd += d * d;
    }
    const GroupSums sums = view.Sums(12 + unit, copy, toy.spans, 0.25);
    EXPECT_NEAR(sums.xx, xx, 1e-12);
    EXPECT_NEAR(sums.xd, xd, 1e-12);
    EXPECT_NEAR(sums.dd, dd, 1e-12);
  }
}

TEST(GroupView, WithoutARateThereIsNoDirection) {
  ToyNetwork toy(2);
  const GroupView view = *GroupView::Create(toy.groups, toy.parameters);
  std::vector<float> copy(static_cast<size_t>(view.copied_elements()));
  view.Gather(0, toy.spans, absl::MakeSpan(copy));
  const GroupSums sums = view.Sums(0, copy, toy.spans, 0);
  EXPECT_GT(sums.xx, 0);
  EXPECT_EQ(sums.xd, 0);
  EXPECT_EQ(sums.dd, 0);
}

TEST(GroupView, ZeroTouchesTheGroupAlone) {
  for (int g : {4, 16}) {
    ToyNetwork toy(4);
    const GroupView view = *GroupView::Create(toy.groups, toy.parameters);
    const std::vector<std::vector<float>> before = toy.values;
    EXPECT_FALSE(view.IsZero(g, toy.spans));
    view.Zero(g, toy.spans);
    EXPECT_TRUE(view.IsZero(g, toy.spans));
    int64_t changed = 0;
    for (size_t p = 0; p < before.size(); ++p) {
      for (size_t i = 0; i < before[p].size(); ++i) changed += before[p][i] != toy.values[p][i];
    }
    EXPECT_EQ(changed, view.elements(g));
    for (int other = 0; other < view.size(); ++other) {
      EXPECT_EQ(view.IsZero(other, toy.spans), other == g);
    }
  }
}

TEST(GroupView, ScalesAndSubtracts) {
  ToyNetwork toy(6);
  const GroupView view = *GroupView::Create(toy.groups, toy.parameters);
  std::vector<float> copy(static_cast<size_t>(view.copied_elements()));
  view.Gather(15, toy.spans, absl::MakeSpan(copy));
  const float x = toy.values[0][3 * 3 + 1];  // unit 3 of class 1
  view.Scale(15, 0.5, toy.spans);
  EXPECT_EQ(toy.values[0][3 * 3 + 1], 0.5f * x);
  view.Subtract(15, 0.5, copy, toy.spans);
  EXPECT_TRUE(view.IsZero(15, toy.spans));
}

TEST(GroupView, RunsOfNeighbouringIndicesAreOne) {
  const std::vector<ParameterInfo> parameters = {{"w", {2, 8, 3}}};
  const GroupView view = *GroupView::Create({{0, 0, {{"w", 1, {1, 2, 3, 6}}}, 24, 0}}, parameters);
  const std::vector<ElementRun> runs = view.RunsOf(0);
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0].begin, 3);
  EXPECT_EQ(runs[0].size, 9);
  EXPECT_EQ(runs[1].begin, 27);
  EXPECT_EQ(runs[2].begin, 18);
  EXPECT_EQ(runs[2].size, 3);
}

TEST(GroupView, ASingleNumberIsOneElement) {
  const std::vector<ParameterInfo> parameters = {{"gate", {}}};
  const GroupView view = *GroupView::Create({{0, 0, {{"gate", 0, {0}}}, 1, 0}}, parameters);
  float gate = 2;
  const std::vector<absl::Span<float>> values = {absl::MakeSpan(&gate, 1)};
  EXPECT_EQ(view.elements(0), 1);
  view.Zero(0, values);
  EXPECT_EQ(gate, 0);
}

TEST(GroupView, GroupsThatDoNotFitAreRefusedByName) {
  const std::vector<ParameterInfo> parameters = {{"w", {4, 2}}};
  const auto message = [&](std::vector<graph::Group> groups) {
    const auto view = GroupView::Create(std::move(groups), parameters);
    EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(view.status().message());
  };
  EXPECT_THAT(message({}), HasSubstr("there are none"));
  EXPECT_THAT(message({{3, 1, {{"v", 0, {0}}}, 2, 0}}),
              HasSubstr("unit 1 of class 3: a slice of \"v\", which is no parameter"));
  EXPECT_THAT(message({{0, 0, {{"w", 2, {0}}}, 2, 0}}), HasSubstr("dimension 2 of w, it has 2"));
  EXPECT_THAT(message({{0, 0, {{"w", 0, {4}}}, 2, 0}}), HasSubstr("expected ascending below 4"));
  EXPECT_THAT(message({{0, 0, {{"w", 0, {2, 1}}}, 2, 0}}), HasSubstr("expected ascending"));
  EXPECT_THAT(message({{0, 0, {}, 0, 0}}), HasSubstr("it has no elements"));
  EXPECT_THAT(message({{0, 0, {{"w", 0, {0}}}, 2, 0}, {0, 0, {{"w", 0, {1}}}, 2, 0}}),
              HasSubstr("it is there twice"));
  EXPECT_THAT(message({{0, 0, {{"w", 0, {0}}}, 2, 0}, {0, 1, {{"w", 1, {1}}}, 4, 0}}),
              HasSubstr("unit 1 of class 0 has an element twice, or shares it"));
}

}  // namespace
}  // namespace sluice::otov3
