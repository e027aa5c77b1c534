#include "policies/records/records.h"

#include <cmath>
#include <limits>
#include <string>

#include "base/random.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/field_comparator.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "orchestrator/report/job_json.h"
#include "tests/policies/compression/window_builder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

// "" if they are equal.
std::string Difference(const google::protobuf::Message& a, const google::protobuf::Message& b) {
  google::protobuf::util::DefaultFieldComparator comparator;
  comparator.set_treat_nan_as_equal(true);
  google::protobuf::util::MessageDifferencer differencer;
  differencer.set_field_comparator(&comparator);
  std::string difference;
  differencer.ReportDifferencesToString(&difference);
  differencer.Compare(a, b);
  return difference;
}

// As the profiler fills it, in every field.
proto::WindowStatistics AWindow(uint64_t seed) {
  proto::WindowStatistics window = RandomWindow(Config(), RandomKey(seed));
  window.set_window(static_cast<int64_t>(seed));
  window.set_last_step(static_cast<int64_t>(100 * seed + 99));
  window.set_profile_seconds(0.1 / 3);
  window.set_world_size(4);
  window.set_alpha(1.0 / 7);
  for (int l = 0; l < window.layers_size(); ++l) {
    window.mutable_layers(l)->set_bucket(l / 4);
    window.mutable_layers(l)->add_shape(64);
    if (l % 2 == 0) window.mutable_layers(l)->set_lost_squared_error(0.125 * (l + 1));
    window.mutable_layers(l)->set_error_ratio(0.25 * l);
    window.mutable_layers(l)->add_shape(l + 1);
    window.mutable_layers(l)->mutable_options(0)->set_codec_seconds(1e-5 * l);
    for (proto::OptionStatistics& option : *window.mutable_layers(l)->mutable_options()) {
      option.mutable_codec();  // raw, said
      // JSON has neither: both are written as null.
      if (std::isinf(option.squared_error())) {
        option.set_squared_error(std::numeric_limits<double>::quiet_NaN());
      }
    }
  }
  proto::TimeStatistics& times = *window.mutable_times();
  for (const double seconds : {0.001, 0.0123456789012345}) times.add_ready_seconds(seconds);
  times.set_backward_seconds(0.04);
  times.set_latency_seconds(2e-5);
  times.set_bytes_per_second(1.25e8);
  return window;
}

proto::CompressionPolicy APolicy() {
  proto::CompressionPolicy policy;
  policy.set_version(3);
  policy.set_effective_step(205);
  for (const std::string name : {"z.weight", "a.weight"}) {  // not in the order of the alphabet
    proto::LayerChoice& layer = *policy.add_layers();
    layer.set_name(name);
    layer.mutable_codec()->set_kind(proto::CODEC_TOP_K);
    layer.mutable_codec()->set_bits(8);
    layer.mutable_codec()->set_density_ppm(123456);
  }
  policy.set_predicted_bytes(1234.5);
  policy.set_error(1.0 / 3);
  policy.set_budget(0.5);
  policy.set_alpha(1.25);
  policy.set_uniform_bytes(2000);
  policy.set_lower_bound_bytes(1234);
  policy.set_solve_seconds(1e-4);
  policy.set_reason("because \"quoted\"");
  return policy;
}

std::string ErrorOfWindow(const std::string& text) {
  return std::string(ParseStatistics(text, "stats.jsonl").status().message());
}

TEST(Records, WindowsReadBackAsTheyWere) {
  std::string text;
  for (uint64_t seed = 1; seed <= 20; ++seed) text += WindowJson(AWindow(seed)) + "\n";
  const auto read = ParseStatistics(text, "stats.jsonl");
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->records.size(), 20u);
  EXPECT_EQ(read->warning, "");
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(Difference(read->records[seed - 1], AWindow(seed)), "") << "window " << seed;
  }
}

TEST(Records, PoliciesReadBackAsTheyWereInTheOrderOfLayers) {
  proto::CompressionPolicy timed = APolicy();
  timed.set_exposed_seconds(0.25);
  timed.set_raw_exposed_seconds(2);
  const auto read = ParsePolicies(PolicyJson(APolicy()) + "\n" + PolicyJson(timed) + "\n", "p");
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->records.size(), 2u);
  EXPECT_EQ(Difference(read->records[0], APolicy()), "");
  EXPECT_EQ(Difference(read->records[1], timed), "");
}

TEST(Records, NullIsNotANumber) {
  proto::WindowStatistics window = AWindow(1);
  window.mutable_layers(0)->set_squared_norm(std::numeric_limits<double>::quiet_NaN());
  const auto read = ParseStatistics(WindowJson(window) + "\n", "s");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(std::isnan(read->records[0].layers(0).squared_norm()));
}

TEST(Records, OlderFilesLackWhatCameLater) {
  const auto read = ParseStatistics(
      R"({"window":2,"last_step":299,"profile_seconds":0.03,"fixed_wire_bytes":96,"layers":[)"
      R"({"name":"fc.weight","elements":4096,"eligible":true,"squared_norm":1.5,"options":[)"
      R"({"codec":"raw","squared_error":0,"wire_bytes":16384}]}]})"
      "\n",
      "old");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->records[0].world_size(), 0);
  EXPECT_FALSE(read->records[0].has_times());
  EXPECT_EQ(read->records[0].layers(0).options(0).wire_bytes(), 16384);
}

TEST(Records, ALastLineThatIsCutOffIsLeftOutAndSaid) {
  const std::string whole = WindowJson(AWindow(1)) + "\n";
  for (size_t kept : {size_t{1}, whole.size() / 2, whole.size() - 2}) {
    const auto read = ParseStatistics(whole + whole.substr(0, kept), "s");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->records.size(), 1u) << kept;
    EXPECT_THAT(read->warning, HasSubstr("s:2: the last line is cut off")) << kept;
  }
}

TEST(Records, ADamagedLineInTheMiddleIsAnError) {
  const std::string whole = WindowJson(AWindow(1)) + "\n";
  EXPECT_THAT(ErrorOfWindow(whole + "{\"window\"\n" + whole),
              HasSubstr("stats.jsonl:2: not valid"));
}

TEST(Records, ErrorsNameTheLineAndTheField) {
  EXPECT_THAT(ErrorOfWindow("{}\n"), HasSubstr("stats.jsonl:1: window is missing"));
  EXPECT_THAT(ErrorOfWindow("\n[1]\n"), HasSubstr("stats.jsonl:2: expected an object"));
  std::string text = WindowJson(AWindow(1)) + "\n";
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return ErrorOfWindow(changed.replace(at, from.size(), to));
  };
  EXPECT_THAT(replaced("\"last_step\":199", "\"last_step\":-1"),
              HasSubstr("stats.jsonl:1: last_step: expected an integer from 0"));
  EXPECT_THAT(replaced("\"codec\":\"raw\"", "\"codec\":\"rew\""),
              HasSubstr("layers[0], options[0]: codec: \"rew\" is no codec"));
  EXPECT_THAT(replaced("\"elements\":", "\"elements\":\"many\",\"was\":"),
              HasSubstr("layers[0]: elements: expected an integer"));
  EXPECT_THAT(replaced("\"world_size\":4", "\"world_size\":99999999999"),
              HasSubstr("world_size: expected an integer"));
  EXPECT_THAT(
      std::string(ParsePolicies("{\"version\":1,\"effective_step\":0}\n", "p").status().message()),
      HasSubstr("p:1: layers is missing"));
  EXPECT_THAT(std::string(ParsePolicies("{\"version\":1,\"effective_step\":0,\"layers\":"
                                        "{\"fc.weight\":\"maxmin4\"}}\n",
                                        "p")
                              .status()
                              .message()),
              HasSubstr("p:1, layers: fc.weight: \"maxmin4\" is no codec"));
}

TEST(Records, AFileThatCannotBeReadIsNamed) {
  EXPECT_EQ(ReadStatistics("/no/such.jsonl").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadPolicies(testing::TempDir()).status().message()),
              HasSubstr("directory"));
}

}  // namespace
}  // namespace sluice
