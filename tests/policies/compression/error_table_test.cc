#include "policies/compression/error_table.h"

#include <limits>

#include "gtest/gtest.h"

namespace sluice {
namespace {

/// One layer per squared error, each with raw and one quantiser.
proto::WindowStatistics Layers(const std::vector<double>& squared_errors) {
  proto::WindowStatistics window;
  for (const double squared : squared_errors) {
    proto::LayerStatistics* layer = window.add_layers();
    layer->set_squared_norm(16);
    layer->add_options()->set_squared_error(5);  // raw
    proto::OptionStatistics* option = layer->add_options();
    option->mutable_codec()->set_kind(proto::CODEC_MAXMIN);
    option->set_squared_error(squared);
  }
  return window;
}

TEST(ErrorTable, NormsAreSquareRoots) {
  const ErrorTable table(Layers({9}), "l2");
  EXPECT_EQ(table.error(0, 1), 3);
  EXPECT_EQ(table.silence(0), 4);
}

TEST(ErrorTable, SquaresAreAsGiven) {
  const ErrorTable table(Layers({9}), "l2sq");
  EXPECT_EQ(table.error(0, 1), 9);
  EXPECT_EQ(table.silence(0), 16);
}

TEST(ErrorTable, RawHasNoErrorWhateverWasMeasured) {
  EXPECT_EQ(ErrorTable(Layers({9}), "l2").error(0, 0), 0);
}

TEST(ErrorTable, NaNInfinityAndNegativeAreInfinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const ErrorTable table(Layers({nan, infinity, -1}), "l2sq");
  for (int l = 0; l < 3; ++l) EXPECT_EQ(table.error(l, 1), infinity) << l;
}

TEST(ErrorTable, SumLeavesOutInfiniteErrors) {
  const ErrorTable table(Layers({4, std::numeric_limits<double>::infinity(), 5}), "l2sq");
  EXPECT_EQ(table.Sum({1, 1, 1}), 9);
}

TEST(ErrorTable, SumDoesNotDependOnTheOrder) {
  const ErrorTable one(Layers({1e16, 1, 1, 1, 1}), "l2sq");
  const ErrorTable other(Layers({1, 1, 1, 1, 1e16}), "l2sq");
  EXPECT_EQ(one.Sum({1, 1, 1, 1, 1}), other.Sum({1, 1, 1, 1, 1}));
  EXPECT_EQ(one.Sum({1, 1, 1, 1, 1}), 1e16 + 4);
}

}  // namespace
}  // namespace sluice
