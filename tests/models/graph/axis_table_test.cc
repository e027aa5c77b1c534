#include "models/graph/axis_table.h"

#include <gtest/gtest.h>

namespace sluice::graph {
namespace {

using Ids = std::vector<AxisId>;

TEST(AxisTable, UnifiedAtomsAreOne) {
  AxisTable table;
  const AxisId a = table.Atom(4), b = table.Atom(4), c = table.Atom(4);
  EXPECT_TRUE(table.Unify(a, b, "here"));
  EXPECT_TRUE(table.Unify(b, c, "here"));
  EXPECT_EQ(table.Find(a), table.Find(c));
}

TEST(AxisTable, FixedStaysFixedThroughUnification) {
  AxisTable table;
  const AxisId a = table.FixedAtom(4, "for a reason"), b = table.Atom(4);
  table.Unify(b, a, "here");
  EXPECT_TRUE(table.AllFixed(b));
  EXPECT_EQ(table.reasons(table.Find(b)), std::vector<std::string>{"for a reason"});
}

TEST(AxisTable, FixedStaysFixedThroughRefinement) {
  AxisTable table;
  const AxisId a = table.FixedAtom(6, "for a reason");
  const auto parts = table.SplitFactor(a, 2);
  ASSERT_TRUE(parts);
  EXPECT_TRUE(table.fixed(parts->first));
  EXPECT_TRUE(table.fixed(parts->second));
}

TEST(AxisTable, ASplitRefinesTheAtomEverywhere) {
  AxisTable table;
  const AxisId a = table.Atom(6), b = table.Atom(6);
  table.Unify(a, b, "here");
  const auto parts = table.SplitFactor(a, 2);
  ASSERT_TRUE(parts);
  EXPECT_EQ(table.Factors(b), (Ids{parts->first, parts->second}));
}

TEST(AxisTable, ProductsAreRefinedToCommonFactors) {
  AxisTable table;
  const AxisId a = table.Product({table.Atom(2), table.Atom(6)});
  const AxisId b = table.Product({table.Atom(4), table.Atom(3)});
  EXPECT_TRUE(table.Unify(a, b, "here"));
  EXPECT_EQ(table.Factors(a), table.Factors(b));
  EXPECT_EQ(table.Factors(a).size(), 3);  // 2 x 2 x 3
}

TEST(AxisTable, ProductsWithoutCommonFactorsAreFixed) {
  AxisTable table;
  const AxisId a = table.Product({table.Atom(2), table.Atom(3)});
  const AxisId b = table.Product({table.Atom(3), table.Atom(2)});
  EXPECT_FALSE(table.Unify(a, b, "aten::add at line 7"));
  EXPECT_TRUE(table.AllFixed(a));
  EXPECT_TRUE(table.AllFixed(b));
  EXPECT_EQ(table.reasons(table.Atoms(a)[0])[0], "its parts do not match in aten::add at line 7");
}

TEST(AxisTable, ConcatenationsAreRefinedToCommonBorders) {
  AxisTable table;
  const AxisId a = table.Concatenation({table.Atom(2), table.Atom(6)});
  const AxisId b = table.Concatenation({table.Atom(5), table.Atom(3)});
  EXPECT_TRUE(table.Unify(a, b, "here"));
  EXPECT_EQ(table.Members(a), table.Members(b));
  EXPECT_EQ(table.Members(a).size(), 3);  // 2 + 3 + 3
}

TEST(AxisTable, ProductsAreCutBetweenTheirOuterUnits) {
  AxisTable table;
  const AxisId heads = table.Atom(4), width = table.Atom(3);
  const AxisId axis = table.Product({heads, width});
  const auto parts = table.SplitAt(axis, 6);
  ASSERT_TRUE(parts);
  EXPECT_TRUE(table.Contains(parts->first, width));
  EXPECT_TRUE(table.Contains(parts->second, width));
  EXPECT_EQ(table.Members(heads).size(), 2);
  EXPECT_FALSE(table.SplitAt(parts->first, 4));
}

TEST(AxisTable, OtherExtentsAreFixed) {
  AxisTable table;
  const AxisId a = table.Atom(4), b = table.Atom(5);
  EXPECT_FALSE(table.Unify(a, b, "here"));
  EXPECT_TRUE(table.AllFixed(a));
  EXPECT_TRUE(table.AllFixed(b));
}

TEST(AxisTable, ConcatenatedAxesAreFactoredTogether) {
  AxisTable table;
  const AxisId a = table.Atom(4), b = table.Atom(8);
  const auto parts = table.SplitFactor(table.Concatenation({a, b}), 3);
  ASSERT_TRUE(parts);
  EXPECT_EQ(table.extent(parts->first), 3);
  EXPECT_EQ(table.extent(parts->second), 4);
  EXPECT_TRUE(table.Contains(a, table.Find(parts->second)));
  EXPECT_TRUE(table.Contains(b, table.Find(parts->second)));
}

TEST(AxisTable, UnitsAreFoundAlongProductsAndConcatenations) {
  AxisTable table;
  const AxisId heads = table.Atom(2), width = table.Atom(2), other = table.Atom(1);
  const AxisId axis = table.Concatenation({table.Product({heads, width}), other});
  EXPECT_EQ(*table.UnitsAlong(axis, heads), (std::vector<int64_t>{0, 0, 1, 1, -1}));
  EXPECT_EQ(*table.UnitsAlong(axis, width), (std::vector<int64_t>{0, 1, 0, 1, -1}));
  EXPECT_EQ(table.Width(axis, heads), 2);
  EXPECT_EQ(table.Width(axis, width), 1);
  EXPECT_EQ(table.Width(other, heads), 0);
}

TEST(AxisTable, AnIndexOfTwoUnitsIsTold) {
  AxisTable table;
  const AxisId a = table.Atom(2);
  EXPECT_FALSE(table.UnitsAlong(table.Product({a, a}), a));
}

TEST(AxisTable, KeptIndicesFollowTheStructure) {
  AxisTable table;
  const AxisId heads = table.Atom(3), width = table.Atom(2);
  const std::vector<bool> mask = {true, false, true};
  const auto stays = [&](AxisId atom) { return atom == heads ? &mask : nullptr; };
  EXPECT_EQ(table.Kept(table.Product({heads, width}), stays),
            (std::vector<bool>{true, true, false, false, true, true}));
  EXPECT_EQ(table.Kept(table.Concatenation({width, heads}), stays),
            (std::vector<bool>{true, true, true, false, true}));
}

TEST(AxisTable, NestedAtomsAreTold) {
  AxisTable table;
  const AxisId a = table.Atom(3), b = table.Atom(2), c = table.Atom(2);
  const AxisId axis = table.Concatenation({table.Product({a, b}), c});
  EXPECT_EQ(table.Nested(axis), (std::vector<std::pair<AxisId, AxisId>>{{a, b}}));
}

}  // namespace
}  // namespace sluice::graph
