#include "comm/transport/request_table.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(RequestTable, IdsFindTheirOperationAndAreNeverNoRequest) {
  RequestTable<int> table;
  const RequestId a = table.Add(), b = table.Add();
  EXPECT_NE(a, kNoRequest);
  EXPECT_NE(b, kNoRequest);
  table.at(a) = 1;
  table.at(b) = 2;
  EXPECT_EQ(table.at(a), 1);
  EXPECT_EQ(table.at(b), 2);
}

TEST(RequestTable, SlotsAreReusedWithFreshValuesAndOtherIds) {
  RequestTable<int> table;
  const RequestId first = table.Add();
  int* const address = &table.at(first);
  table.at(first) = 5;
  table.Remove(first);
  EXPECT_TRUE(table.empty());
  const RequestId second = table.Add();
  EXPECT_NE(second, first);
  EXPECT_EQ(&table.at(second), address);
  EXPECT_EQ(table.at(second), 0);
}

TEST(RequestTable, ForEachVisitsWhatIsInFlight) {
  RequestTable<int> table;
  const RequestId a = table.Add(), b = table.Add(), c = table.Add();
  table.at(a) = 1;
  table.at(b) = 10;
  table.at(c) = 100;
  table.Remove(b);
  int sum = 0;
  table.ForEach([&](int value) { sum += value; });
  EXPECT_EQ(sum, 101);
}

TEST(RequestTableDeathTest, RetiredIdIsABug) {
  RequestTable<int> table;
  const RequestId id = table.Add();
  table.Remove(id);
  table.Add();
  EXPECT_DEATH(table.at(id), "used after its outcome");
}

}  // namespace
}  // namespace sluice
