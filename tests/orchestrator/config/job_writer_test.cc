#include "orchestrator/config/job_writer.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "orchestrator/config/field_value.h"
#include "orchestrator/config/job_loader.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

// Replaces values by random ones that the rules accept.
class Scrambler {
 public:
  explicit Scrambler(uint32_t seed) : random_(seed) {}

  void Scramble(Message& message) {
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor& field = *message.GetDescriptor()->field(i);
      if (field.message_type() != nullptr && field.is_repeated())
        continue;  // depend on one another
      if (field.message_type() != nullptr) {
        Scramble(*reflection.MutableMessage(&message, &field));
        continue;
      }
      if (Below(3) == 0) continue;
      const int values = field.is_repeated() ? 1 + Below(6) : 1;
      if (field.is_repeated()) reflection.ClearField(&message, &field);
      for (int k = 0; k < values; ++k) {
        Node scalar;
        scalar.kind = Node::Kind::kScalar;
        scalar.text = Value(field);
        scalar.quoted = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
        const absl::Status set = SetScalar(scalar, field, message);
        ASSERT_TRUE(set.ok()) << field.full_name() << " " << set;
      }
    }
  }

 private:
  int Below(int bound) { return std::uniform_int_distribution<int>(0, bound - 1)(random_); }

  std::string Value(const FieldDescriptor& field) {
    const proto::FieldRule& rule = RuleOf(field);
    if (rule.one_of_size() > 0) return rule.one_of(Below(rule.one_of_size()));
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return Below(2) == 0 ? "false" : "true";
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (field.name() == "name") return "Job-2_x.y";
      static constexpr const char* kPieces[] = {"a",
                                                "Z",
                                                "0",
                                                " ",
                                                "#",
                                                ": ",
                                                "\"",
                                                "\\",
                                                "'",
                                                "{",
                                                "]",
                                                ",",
                                                "&",
                                                "*",
                                                "!",
                                                "|",
                                                ">",
                                                "%",
                                                "@",
                                                "`",
                                                "-",
                                                "?",
                                                "~",
                                                "null",
                                                "on",
                                                "/",
                                                ".",
                                                "\xc3\xbc",
                                                "\xe2\x82\xac",
                                                "\xf0\x9f\x98\x80"};
      std::string text;
      for (int n = Below(12); n > 0; --n) text += kPieces[Below(std::size(kPieces))];
      return text;
    }
    const double low = rule.min();
    const double value = low + (rule.max() - low) * std::uniform_real_distribution<>(0, 1)(random_);
    const bool fraction = field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
    return fraction ? NumberText(value) : NumberText(std::max(low, std::floor(value)));
  }

  std::mt19937 random_;
};

TEST(JobToYaml, ReadingItBackGivesTheSameJob) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    proto::JobConfig job;
    SetDefaults(job);
    Scrambler(seed).Scramble(job);
    // Where not every pair of values goes together.
    job.mutable_compression()->set_quantizer("maxmin");
    job.mutable_compression()->set_uniform_codec("quantizer");
    job.mutable_compression()->set_error_feedback("on");
    job.mutable_compression()->set_alpha_schedule("cosine 0.5 1.5");
    job.mutable_compression()->set_value_bits(8);
    job.mutable_data()->set_dataset("images");
    if (job.data().path().empty()) job.mutable_data()->set_path("/images");
    job.mutable_training()->set_accumulation_steps(1);
    job.mutable_training()->set_sync_batch_norm(false);
    job.mutable_training()->set_on_nan("stop");
    job.mutable_optimizer()->set_nesterov("off");
    job.mutable_schedule()->set_warmup_steps(0);
    job.mutable_world()->set_size(4);
    job.mutable_world()->set_min_size(2);
    job.mutable_world()->set_max_size(8);
    job.mutable_world()->set_cooldown_min_seconds(10);
    job.mutable_world()->set_cooldown_max_seconds(20);
    job.mutable_checkpoint()->set_every_steps(0);
    job.mutable_checkpoint()->set_resume("none");
    job.mutable_program()->add_command("x");
    job.mutable_program()->set_command(0, "./train");
    const std::string yaml = JobToYaml(job);
    const auto back = ParseJob(yaml, JobFormat::kYaml, "written", {});
    ASSERT_TRUE(back.ok()) << back.status() << "\n" << yaml;
    ASSERT_TRUE(MessageDifferencer::Equals(job, *back)) << yaml;
    ASSERT_EQ(JobDigest(job), JobDigest(*back));
  }
}

TEST(JobToYaml, HasEveryKeyOfTheResolvedJob) {
  const auto job = ParseJob("", JobFormat::kYaml, "empty", {});
  ASSERT_TRUE(job.ok());
  const std::string yaml = JobToYaml(*job);
  EXPECT_THAT(yaml, testing::StartsWith("name: job\nmodel:\n  name: cnn\n"));
  EXPECT_THAT(yaml, testing::HasSubstr("  candidate_bits: [2, 3, 4, 5, 6, 7, 8]\n"));
  EXPECT_THAT(yaml, testing::HasSubstr("  epsilon: 1e-8\n"));
  EXPECT_THAT(yaml, testing::HasSubstr("  transports: \"\"\n"));
}

TEST(JobDigest, DiffersWhenOneValueDoes) {
  proto::JobConfig job;
  SetDefaults(job);
  proto::JobConfig other = job;
  EXPECT_EQ(JobDigest(job), JobDigest(other));
  other.mutable_training()->set_seed(job.training().seed() + 1);
  EXPECT_NE(JobDigest(job), JobDigest(other));
}

TEST(NumberText, IsTheShortestThatReadsBack) {
  EXPECT_EQ(NumberText(0.1), "0.1");
  EXPECT_EQ(NumberText(1e-8), "1e-8");
  EXPECT_EQ(NumberText(1048576), "1048576");
  EXPECT_EQ(NumberText(1e12), "1e12");
  EXPECT_EQ(NumberText(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(NumberText(9007199254740992), "9007199254740992");
  EXPECT_EQ(NumberText(1e100), "1e100");
}

}  // namespace
}  // namespace sluice
