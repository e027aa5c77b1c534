#include "training/robust/layer_owners.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

WeightMatrix Layer(int64_t rows, int64_t cols, int64_t groups = 1) {
  return {"layer", {}, rows, cols, groups};
}

TEST(LayerOwners, TheMostWorkGoesFirst) {
  const std::vector<WeightMatrix> layers = {Layer(10, 20), Layer(300, 300), Layer(64, 64)};
  EXPECT_EQ(LayerOwners(layers, 2), (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(LayerOwners(layers, 4), (std::vector<int>{2, 0, 1}));
}

TEST(LayerOwners, EqualOnesGoInTheirOrder) {
  const std::vector<WeightMatrix> layers(5, Layer(8, 8));
  EXPECT_EQ(LayerOwners(layers, 3), (std::vector<int>{0, 1, 2, 0, 1}));
}

TEST(LayerOwners, AlwaysOneOfTheRanks) {
  EXPECT_EQ(LayerOwners({Layer(4, 4), Layer(32, 9, 32)}, 1), (std::vector<int>{0, 0}));
  EXPECT_TRUE(LayerOwners({}, 3).empty());
}

}  // namespace
}  // namespace sluice
