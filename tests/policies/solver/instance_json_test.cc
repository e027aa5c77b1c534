#include "policies/solver/instance_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTiny[] =
    R"({"name": "tiny", "budget": 40, "layers": [
        {"name": "a", "options": [[100, 30], [200, 20]]},
        {"name": "b", "options": [[50, 20], [90, 10]]}]})";

std::string MessageOf(const std::string& text) {
  const auto file = ParseInstances(text);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(file.status().message());
}

/// A clock that moves by a quarter second at every reading.
std::function<double()> Clock() {
  return [now = 0.0]() mutable { return now += 0.25; };
}

TEST(InstanceJson, SingleInstanceIsRead) {
  const auto file = ParseInstances(kTiny);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->single);
  ASSERT_EQ(file->instances.size(), 1u);
  const NamedInstance& tiny = file->instances[0];
  EXPECT_EQ(tiny.name, "tiny");
  EXPECT_THAT(tiny.layers, ElementsAre("a", "b"));
  EXPECT_EQ(tiny.instance.budget, 40);
  EXPECT_EQ(tiny.instance.layers[1][1].size, 90);
  EXPECT_EQ(tiny.instance.layers[1][1].error, 10);
}

TEST(InstanceJson, MissingNamesAreNumbers) {
  const auto file =
      ParseInstances(R"({"instances": [{"budget": 1, "layers": [{"options": [[1, 1]]}]}]})");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->single);
  EXPECT_EQ(file->instances[0].name, "instance 0");
  EXPECT_THAT(file->instances[0].layers, ElementsAre("layer 0"));
}

TEST(InstanceJson, SingleResultIsOneObject) {
  const auto result = SolveInstancesJson(kTiny, Clock());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result,
            R"({"name":"tiny","feasible":true,"optimal":true,"choice":[0,1],"size":190,"error":40,)"
            R"("lower_bound":190.0,"seconds":0.25})"
            "\n");
}

TEST(InstanceJson, FileResultIsAnArrayInOrderOneObjectPerLine) {
  const auto result = SolveInstancesJson(
      R"({"format": "sluice-knapsack/1", "instances": [
          {"name": "p", "budget": 1, "layers": [{"options": [[1, 1]]}]},
          {"name": "q", "budget": 0, "layers": [{"options": [[1, 1]]}]}]})",
      Clock());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result,
            R"([{"name":"p","feasible":true,"optimal":true,"choice":[0],"size":1,"error":1,)"
            R"("lower_bound":1.0,"seconds":0.25},)"
            "\n"
            R"({"name":"q","feasible":false,"optimal":false,"choice":[0],"size":1,"error":1,)"
            R"("lower_bound":0.0,"seconds":0.25}])"
            "\n");
}

TEST(InstanceJson, EmptyFileGivesAnEmptyArray) {
  const auto result = SolveInstancesJson(R"({"instances": []})", Clock());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result, "[]\n");
}

TEST(InstanceJson, BrokenJsonIsRefused) {
  EXPECT_THAT(MessageOf("{\"budget\": "), HasSubstr("not valid JSON"));
}

TEST(InstanceJson, TopLevelArrayIsRefused) {
  EXPECT_THAT(MessageOf("[1]"), HasSubstr("\"instances\" or \"layers\", found array"));
}

TEST(InstanceJson, UnknownFormatIsRefusedWithTheKnownOne) {
  EXPECT_THAT(MessageOf(R"({"format": "other/2", "instances": []})"),
              HasSubstr("\"other/2\", expected \"sluice-knapsack/1\""));
}

TEST(InstanceJson, MissingBudgetNamesTheInstance) {
  EXPECT_THAT(MessageOf(R"({"name": "x", "layers": []})"),
              HasSubstr("instance \"x\", budget: missing"));
}

TEST(InstanceJson, FractionalSizeNamesInstanceLayerAndOption) {
  EXPECT_THAT(
      MessageOf(
          R"({"name": "x", "budget": 1, "layers": [{"name": "a", "options": [[1, 1], [1.5, 1]]}]})"),
      HasSubstr("instance \"x\", layer \"a\", option 1, size: expected an integer"));
}

TEST(InstanceJson, NegativeErrorNamesInstanceLayerAndOption) {
  EXPECT_THAT(
      MessageOf(R"({"name": "x", "budget": 1, "layers": [{"name": "a", "options": [[1, -1]]}]})"),
      HasSubstr("instance \"x\", layer \"a\", option 0, error: is -1"));
}

TEST(InstanceJson, IntegerBeyond64BitsIsRefused) {
  EXPECT_THAT(MessageOf(R"({"name": "x", "budget": 18446744073709551615, "layers": []})"),
              HasSubstr("does not fit"));
}

TEST(InstanceJson, OptionThatIsNotAPairIsRefused) {
  EXPECT_THAT(MessageOf(R"({"name": "x", "budget": 1, "layers": [{"options": [[1, 2, 3]]}]})"),
              HasSubstr("layer \"layer 0\", option 0: expected [size, error]"));
}

TEST(InstanceJson, LayerWithoutOptionsIsRefused) {
  EXPECT_THAT(MessageOf(R"({"name": "x", "budget": 1, "layers": [{"name": "a", "options": []}]})"),
              HasSubstr("layer \"a\": \"options\" is empty"));
}

TEST(InstanceJson, NameOfAnotherTypeIsRefused) {
  EXPECT_THAT(MessageOf(R"({"name": 7, "budget": 1, "layers": []})"),
              HasSubstr("\"name\" must be a string"));
}

TEST(InstanceJson, OverflowInTheSolverNamesTheInstance) {
  const auto result = SolveInstancesJson(
      R"({"name": "big", "budget": 1, "layers": [{"options": [[9223372036854775807, 0]]}]})",
      Clock());
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("instance \"big\": layer 0"));
}

}  // namespace
}  // namespace sluice
