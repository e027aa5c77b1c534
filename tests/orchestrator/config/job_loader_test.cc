#include "orchestrator/config/job_loader.h"

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "orchestrator/config/field_value.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

absl::StatusOr<proto::JobConfig> Parse(const std::string& text, JobFormat format = JobFormat::kYaml,
                                       const std::vector<std::string>& overrides = {}) {
  return ParseJob(text, format, "a.yaml", overrides);
}

proto::JobConfig Parsed(const std::string& text, JobFormat format = JobFormat::kYaml,
                        const std::vector<std::string>& overrides = {}) {
  const absl::StatusOr<proto::JobConfig> job = Parse(text, format, overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : proto::JobConfig();
}

std::string ErrorOf(const std::string& text, JobFormat format = JobFormat::kYaml,
                    const std::vector<std::string>& overrides = {}) {
  const absl::Status status = Parse(text, format, overrides).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

// Defaults.

class EmptyText : public testing::TestWithParam<std::pair<const char*, JobFormat>> {};

TEST_P(EmptyText, IsTheJobOfAllDefaults) {
  const proto::JobConfig job = Parsed(GetParam().first, GetParam().second);
  proto::JobConfig defaults;
  SetDefaults(defaults);
  EXPECT_TRUE(MessageDifferencer::Equals(job, defaults)) << job.DebugString();
}

INSTANTIATE_TEST_SUITE_P(Formats, EmptyText,
                         testing::Values(std::pair("", JobFormat::kYaml),
                                         std::pair("# words\n", JobFormat::kYaml),
                                         std::pair("---\n", JobFormat::kYaml),
                                         std::pair("{}", JobFormat::kJson),
                                         std::pair("compression:\n", JobFormat::kYaml),
                                         std::pair("", JobFormat::kTextproto),
                                         std::pair("# words\n", JobFormat::kTextproto)));

TEST(JobLoader, AbsentKeysHaveTheirDefaults) {
  const proto::JobConfig job = Parsed("training:\n  seed: 9\n");
  EXPECT_EQ(job.training().seed(), 9u);
  EXPECT_EQ(job.training().global_batch(), 128);
  EXPECT_EQ(job.model().name(), "cnn");
  EXPECT_EQ(job.optimizer().epsilon(), 1e-8);
  EXPECT_THAT(job.compression().candidate_bits(), ElementsAre(2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(job.compression().candidate_buckets(), ElementsAre(128, 512, 2048));
  EXPECT_EQ(job.communication().transports(), "");
}

// Formats.

TEST(JobLoader, TheThreeFormatsSayTheSame) {
  const proto::JobConfig yaml = Parsed(R"(
name: demo          # comment
training: {global_batch: 64, epochs: 1.5}
compression:
  error_feedback: off
  candidate_bits: [2, 4]
)");
  const proto::JobConfig json = Parsed(R"({
	"name": "demo",
	"training": {"global_batch": 64, "epochs": 1.5},
	"compression": {"error_feedback": "off", "candidate_bits": [2, 4]}
})",
                                       JobFormat::kJson);
  const proto::JobConfig textproto = Parsed(R"(
name: "de" 'mo'  # comment
training { global_batch: 64, epochs: 1.5; }
compression: < error_feedback: "off" candidate_bits: 2 candidate_bits: 4 >
)",
                                            JobFormat::kTextproto);
  EXPECT_TRUE(MessageDifferencer::Equals(yaml, json)) << json.DebugString();
  EXPECT_TRUE(MessageDifferencer::Equals(yaml, textproto)) << textproto.DebugString();
  EXPECT_EQ(yaml.name(), "demo");
  EXPECT_THAT(yaml.compression().candidate_bits(), ElementsAre(2, 4));
}

TEST(JobLoader, TextprotoListsMayBeInBrackets) {
  EXPECT_THAT(
      Parsed("compression { candidate_bits: [3, 5] candidate_bits: 8 }", JobFormat::kTextproto)
          .compression()
          .candidate_bits(),
      ElementsAre(3, 5, 8));
}

TEST(JobLoader, FormatFollowsFromTheEnding) {
  EXPECT_EQ(*JobFormatOf("x/a.yml"), JobFormat::kYaml);
  EXPECT_EQ(*JobFormatOf("a.YAML"), JobFormat::kYaml);
  EXPECT_EQ(*JobFormatOf("a.json"), JobFormat::kJson);
  EXPECT_EQ(*JobFormatOf("a.textproto"), JobFormat::kTextproto);
  EXPECT_EQ(*JobFormatOf("a.pbtxt"), JobFormat::kTextproto);
  EXPECT_THAT(std::string(JobFormatOf("a.toml").status().message()), HasSubstr(".yaml"));
}

// One error each.

TEST(JobLoader, UnknownKeyNamesTheNearestAndAll) {
  EXPECT_EQ(ErrorOf("name: x\n\ncompresion: {bits: 4}\n"),
            "a.yaml:3: unknown key \"compresion\": did you mean \"compression\"? Keys here: name, "
            "model, data, training, optimizer, schedule, compression, communication, world, "
            "checkpoint, report, phases, program");
}

TEST(JobLoader, UnknownNestedKeyHasItsPath) {
  EXPECT_THAT(ErrorOf("training:\n  global_bach: 4\n"),
              StartsWith("a.yaml:2: unknown key \"training.global_bach\": did you mean "
                         "\"global_batch\"? Keys here: global_batch, steps, "));
}

TEST(JobLoader, KeyInTheWrongGroupIsToldWhereItBelongs) {
  EXPECT_THAT(ErrorOf("learning_rate: 0.1"),
              StartsWith("a.yaml:1: unknown key \"learning_rate\": did you mean "
                         "\"optimizer.learning_rate\"?"));
}

TEST(JobLoader, NumberWithAUnitIsRefused) {
  EXPECT_EQ(
      ErrorOf("training:\n  global_batch: 10x"),
      "a.yaml:2: training.global_batch: expected a whole number in [1, 1048576], got \"10x\"");
}

TEST(JobLoader, NumberOutOfRangeNamesTheBounds) {
  EXPECT_EQ(ErrorOf("compression: {uniform_bits: 9}"),
            "a.yaml:1: compression.uniform_bits: expected a whole number in [1, 8], got \"9\"");
  EXPECT_EQ(
      ErrorOf("optimizer: {learning_rate: 0}"),
      "a.yaml:1: optimizer.learning_rate: expected a number above 0, at most 1000, got \"0\"");
}

TEST(JobLoader, FractionIsNoWholeNumber) {
  EXPECT_THAT(ErrorOf("training: {steps: 1.5}"),
              HasSubstr("training.steps: expected a whole number in [0, 1e12], got \"1.5\""));
}

TEST(JobLoader, QuotedNumberIsText) {
  EXPECT_THAT(ErrorOf("training: {steps: \"5\"}"), HasSubstr("got the text \"5\""));
}

TEST(JobLoader, GroupInPlaceOfAValueIsRefused) {
  EXPECT_EQ(ErrorOf("name: {first: x}"),
            "a.yaml:1: name: expected text with a length in bytes of "
            "at most 64, got a group of keys");
}

TEST(JobLoader, ListInPlaceOfAValueIsRefused) {
  EXPECT_THAT(ErrorOf("training: {seed: [1, 2]}"), HasSubstr("training.seed: expected"));
  EXPECT_THAT(ErrorOf("training: {seed: [1, 2]}"), HasSubstr("got a list"));
}

TEST(JobLoader, ValueInPlaceOfAGroupIsRefused) {
  EXPECT_EQ(ErrorOf("model: resnet18"),
            "a.yaml:1: model: expected a group of keys, got \"resnet18\"");
}

TEST(JobLoader, KeyWithoutValueIsRefused) {
  EXPECT_THAT(ErrorOf("training:\n  seed:\n"), HasSubstr("training.seed: expected a whole number"));
  EXPECT_THAT(ErrorOf("training:\n  seed:\n"), HasSubstr("got nothing; leave the key out"));
}

TEST(JobLoader, DuplicateKeyNamesBothLines) {
  EXPECT_EQ(ErrorOf("training:\n  seed: 1\n  steps: 2\n  seed: 3\n"),
            "a.yaml:4: duplicate key \"training.seed\": first in line 2");
  EXPECT_EQ(ErrorOf("name: \"a\"\nname: \"b\"", JobFormat::kTextproto),
            "a.yaml:2: duplicate key \"name\": first in line 1");
}

TEST(JobLoader, UnknownWordNamesTheNearestAndAll) {
  EXPECT_EQ(ErrorOf("compression: {policy: lgrecco}"),
            "a.yaml:1: compression.policy: unknown word \"lgrecco\": did you mean \"lgreco\"? "
            "Accepted: none, uniform, lgreco, lgreco_time, accordion, accordion+lgreco, "
            "global_topk, recorded, plugin");
  EXPECT_EQ(
      ErrorOf("model: {name: transformer}"),
      "a.yaml:1: model.name: unknown word \"transformer\": accepted are mlp, cnn, vgg11, vgg16, "
      "resnet18, resnet50, densenet121, mobilenetv2, vit, gpt, bert");
}

TEST(JobLoader, ElementsOfListsAreChecked) {
  EXPECT_EQ(ErrorOf("compression:\n  candidate_bits:\n  - 2\n  - 16\n"),
            "a.yaml:4: compression.candidate_bits: expected a whole number in [1, 8], got \"16\"");
}

TEST(JobLoader, EmptyListIsRefusedWhereOneIsNeeded) {
  EXPECT_EQ(ErrorOf("compression: {candidate_bits: []}"),
            "a.yaml:1: compression.candidate_bits: expected at least one value, got an empty list");
}

TEST(JobLoader, TooLongTextIsRefused) {
  EXPECT_THAT(ErrorOf("name: " + std::string(65, 'x')), HasSubstr("at most 64, got 65 bytes"));
}

TEST(JobLoader, ControlCharactersAndBrokenUtf8AreRefused) {
  EXPECT_THAT(ErrorOf("data: {path: \"a\\0b\"}"), HasSubstr("without control characters"));
  EXPECT_THAT(ErrorOf("data { path: \"\\xff\" }", JobFormat::kTextproto), HasSubstr("UTF-8"));
  EXPECT_THAT(ErrorOf("data { path: \"\\xed\\xa0\\x80\" }", JobFormat::kTextproto),
              HasSubstr("UTF-8"));
  EXPECT_EQ(
      Parsed("data { path: \"gr\\xc3\\xbc\\xc3\\x9f\" }", JobFormat::kTextproto).data().path(),
      "gr\xc3\xbc\xc3\x9f");
}

TEST(JobLoader, DataSetsNeedThePathAndKeysOfTheirOwn) {
  EXPECT_EQ(
      ErrorOf("data: {dataset: cifar10}"),
      "default: data.path: data.dataset cifar10 (set at a.yaml:1) has no usual place: set it");
  EXPECT_EQ(ErrorOf("data: {dataset: tokens, path: /x}"),
            "default: data.vocabulary: data.dataset tokens (set at a.yaml:1) does not know it: set "
            "it");
}

TEST(JobLoader, TextAndTwoInputsAreNotAugmentedAsImagesAre) {
  EXPECT_EQ(ErrorOf("data: {dataset: bytes, path: /x, augment: [flip]}"),
            "a.yaml:1: data.augment: data.dataset bytes (set at a.yaml:1) is text, these are for "
            "images");
  EXPECT_EQ(ErrorOf("data: {dataset: synthetic, inputs: 2, augment: [crop, mixup]}"),
            "a.yaml:1: data.augment: mixup blends one input, data.inputs 2 (set at a.yaml:1) has "
            "two");
}

TEST(JobLoader, RootMustHaveKeys) {
  EXPECT_EQ(ErrorOf("- a\n- b\n"),
            "a.yaml:1: expected keys with values, such as `name: ...`, got a list");
  EXPECT_THAT(ErrorOf("cnn"), HasSubstr("expected keys with values"));
}

TEST(JobLoader, BrokenYamlHasLineAndColumn) {
  EXPECT_THAT(ErrorOf("training:\n  seed: [1, 2\nname: x\n"), StartsWith("a.yaml:3:"));
  EXPECT_THAT(ErrorOf("name: 'x"), HasSubstr("bad YAML"));
  EXPECT_THAT(ErrorOf("a: b: c"), StartsWith("a.yaml:1:5: bad YAML: "));
}

TEST(JobLoader, BrokenTextFormatHasLineAndColumn) {
  EXPECT_EQ(ErrorOf("training {\n  seed 4 }", JobFormat::kTextproto),
            "a.yaml:2:8: bad text format: expected \":\", got \"4\"");
  EXPECT_THAT(ErrorOf("training {", JobFormat::kTextproto), HasSubstr("got the end of the file"));
  EXPECT_THAT(ErrorOf("name: \"x", JobFormat::kTextproto), HasSubstr("bad text format"));
  EXPECT_THAT(ErrorOf("[ext]: 1", JobFormat::kTextproto), HasSubstr("expected a key"));
}

TEST(JobLoader, AnchorsAliasesTagsAndSecondDocumentsAreRefused) {
  EXPECT_THAT(ErrorOf("training: &t {seed: 1}"), HasSubstr("anchors"));
  EXPECT_THAT(ErrorOf("a: &x [1]\nb: [*x, *x]"), HasSubstr("a.yaml:1:"));
  EXPECT_THAT(ErrorOf("name: !!str x"), HasSubstr("tags are not supported"));
  EXPECT_THAT(ErrorOf("name: x\n---\nname: y"), HasSubstr("a.yaml:2:1: a second document"));
}

TEST(JobLoader, KeysMustBeWords) {
  EXPECT_THAT(ErrorOf("{[a]: 1}"), HasSubstr("expected a word as the key"));
  EXPECT_THAT(ErrorOf("~: 1"), HasSubstr("expected a word as the key"));
}

TEST(JobLoader, NameMustFitInAFolder) {
  for (const char* name : {"../x", "a/b", "''", ".hidden", "-x", "a b"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat("name: ", name)),
                HasSubstr("a.yaml:1: name: expected letters"))
        << name;
  }
}

// Fields that do not go together.

TEST(JobLoader, NormQuantizerNeedsTwoUniformBits) {
  EXPECT_EQ(ErrorOf("compression:\n  quantizer: l2norm\n  uniform_bits: 1\n"),
            "a.yaml:3: compression.uniform_bits: compression.quantizer l2norm (set at a.yaml:2) "
            "needs 2 bits or more, got 1: raise it, or use quantizer maxmin");
}

TEST(JobLoader, NormQuantizerNeedsTwoCandidateBits) {
  EXPECT_THAT(ErrorOf("compression: {quantizer: l2norm, candidate_bits: [4, 1]}"),
              StartsWith("a.yaml:1: compression.candidate_bits: "));
  EXPECT_TRUE(Parse("compression: {quantizer: maxmin, candidate_bits: [4, 1]}").ok());
}

TEST(JobLoader, NormQuantizerMayHaveOneUniformBitThatAnotherCodecUses) {
  EXPECT_TRUE(Parse("compression: {policy: uniform, quantizer: l2norm, uniform_codec: clipped, "
                    "uniform_bits: 1}")
                  .ok());
}

TEST(JobLoader, ValueBitsAreOneOfFour) {
  EXPECT_EQ(ErrorOf("compression: {value_bits: 12}"),
            "a.yaml:1: compression.value_bits: expected 32, 16, 8 or 4, got 12");
}

TEST(JobLoader, FactorsHaveNoFourBits) {
  EXPECT_EQ(ErrorOf("compression:\n  policy: uniform\n  uniform_codec: lowrank\n  value_bits: 4\n"),
            "a.yaml:4: compression.value_bits: compression.uniform_codec lowrank (set at a.yaml:3) "
            "sends factors with 32, 16 or 8 bits, got 4: raise it");
  EXPECT_TRUE(Parse("compression: {policy: uniform, uniform_codec: topk, value_bits: 4}").ok());
}

TEST(JobLoader, ClippedHasFourBitsAtMost) {
  EXPECT_THAT(
      ErrorOf("compression: {policy: uniform, uniform_codec: clipped, uniform_bits: 5}"),
      StartsWith("a.yaml:1: compression.uniform_bits: compression.uniform_codec clipped (set "
                 "at a.yaml:1) has 1 to 4 bits, got 5"));
}

TEST(JobLoader, LgrecoTakesAnyReference) {
  for (const char* codec : {"fp16", "bf16", "sign", "clipped", "ternary", "topk", "lowrank"}) {
    EXPECT_TRUE(Parse(absl::StrCat("compression: {uniform_codec: ", codec, "}")).ok()) << codec;
  }
}

TEST(JobLoader, DropNeedsErrorFeedback) {
  EXPECT_EQ(
      ErrorOf("compression:\n  error_feedback: \"off\"\n  candidate_families: [cast, drop]\n"),
      "a.yaml:3: compression.candidate_families: compression.error_feedback off (set at "
      "a.yaml:2) would lose what drop leaves out: turn it on, or leave drop out");
  EXPECT_TRUE(Parse("compression: {candidate_families: [cast, drop]}").ok());
}

TEST(JobLoader, OnlyTheQuantizerRoundsStochastically) {
  EXPECT_THAT(
      ErrorOf("compression: {policy: uniform, uniform_codec: sign, rounding: stochastic}"),
      StartsWith("a.yaml:1: compression.rounding: compression.uniform_codec sign (set at a.yaml:1) "
                 "rounds to nearest"));
  EXPECT_TRUE(Parse("compression: {policy: uniform, rounding: stochastic}").ok());
}

// Several errors.

TEST(JobLoader, AllErrorsAreReportedInOrder) {
  const std::vector<std::string> lines =
      absl::StrSplit(ErrorOf("model: {name: x}\nbad: 1\ntraining: {steps: -1, seed: z}\n",
                             JobFormat::kYaml, {"world.size=many"}),
                     '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], StartsWith("a.yaml:1: model.name"));
  EXPECT_THAT(lines[1], StartsWith("a.yaml:2: unknown key"));
  EXPECT_THAT(lines[2], StartsWith("a.yaml:3: training.steps"));
  EXPECT_THAT(lines[3], StartsWith("a.yaml:3: training.seed"));
  EXPECT_THAT(lines[4], StartsWith("--set world.size=many: world.size"));
}

TEST(JobLoader, ErrorsBeyondTwentyAreCounted) {
  std::string text;
  for (int i = 0; i < 25; ++i) absl::StrAppend(&text, "zzzzzzzz", i, ": 1\n");
  const std::vector<std::string> lines = absl::StrSplit(ErrorOf(text), '\n');
  ASSERT_EQ(lines.size(), 21u);
  EXPECT_EQ(lines[20], "... and 5 more errors");
}

// Overrides.

TEST(JobLoader, OverrideWinsOverTheFileAndTheLastOneWins) {
  const proto::JobConfig job =
      Parsed("training: {seed: 1, steps: 5}", JobFormat::kYaml,
             {"training.seed=2", "compression.candidate_bits=[4, 8]", "training.seed=3"});
  EXPECT_EQ(job.training().seed(), 3u);
  EXPECT_EQ(job.training().steps(), 5);
  EXPECT_THAT(job.compression().candidate_bits(), ElementsAre(4, 8));
}

TEST(JobLoader, OverrideTakesOneValueForAListAndEmptyText) {
  const proto::JobConfig job =
      Parsed("communication: {transports: tcp}", JobFormat::kYaml,
             {"compression.candidate_bits=4", "communication.transports="});
  EXPECT_THAT(job.compression().candidate_bits(), ElementsAre(4));
  EXPECT_EQ(job.communication().transports(), "");
}

TEST(JobLoader, OverrideErrorsNameTheOption) {
  EXPECT_EQ(ErrorOf("", JobFormat::kYaml, {"training.sede=2"}),
            "--set training.sede=2: unknown key \"training.sede\": did you mean \"seed\"? Keys "
            "here: global_batch, steps, epochs, seed, checksum_every_steps, on_nan, "
            "max_skipped_steps, threads, accumulation_steps, local_steps, label_smoothing, "
            "ema_decay, precision, sync_batch_norm");
  EXPECT_THAT(ErrorOf("", JobFormat::kYaml, {"training.seed"}),
              HasSubstr("--set training.seed: expected key=value"));
  EXPECT_THAT(ErrorOf("", JobFormat::kYaml, {"training.seed=[1"}),
              HasSubstr("--set training.seed=[1:1:"));
  EXPECT_THAT(ErrorOf("", JobFormat::kYaml, {"training.seed.x=1"}),
              HasSubstr("training.seed: expected a whole number"));
  EXPECT_THAT(ErrorOf("", JobFormat::kYaml, {".=1"}), HasSubstr("unknown key \"\""));
}

// Hostile files.

TEST(JobLoader, DeepNestingIsRefused) {
  const std::string deep(100000, '[');
  EXPECT_THAT(ErrorOf(deep), HasSubstr("a.yaml:1:"));
  EXPECT_THAT(ErrorOf(deep, JobFormat::kJson), HasSubstr("a.yaml:1:"));
  EXPECT_THAT(ErrorOf("a: " + deep, JobFormat::kTextproto), HasSubstr("16 levels"));
}

TEST(JobLoader, ManyValuesAreRefused) {
  std::string many = "a: [1";
  for (int i = 0; i < 100000; ++i) many += ",1";
  EXPECT_THAT(ErrorOf(many + "]"), HasSubstr("20000 values"));
  EXPECT_THAT(ErrorOf(many + "]", JobFormat::kTextproto), HasSubstr("20000 values"));
}

TEST(JobLoader, LongKeysAreShortenedInErrors) {
  EXPECT_LT(ErrorOf(std::string(1000, 'k') + ": 1").size(), 500u);
}

// Files.

class JobFile : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = absl::StrCat(testing::TempDir(), "/", name);
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
};

TEST_F(JobFile, IsReadInTheFormatOfItsEnding) {
  EXPECT_EQ(LoadJob(Write("a.textproto", "training { seed: 7 }"), {})->training().seed(), 7u);
  EXPECT_EQ(LoadJob(Write("a.json", "{\"training\": {\"seed\": 8}}"), {})->training().seed(), 8u);
  EXPECT_EQ(LoadJob(Write("a.yml", "training:\r\n  seed: 9\r\n"), {"training.threads=2"})
                ->training()
                .seed(),
            9u);
}

TEST_F(JobFile, ErrorsCarryItsPath) {
  const std::string path = Write("bad.yaml", "\nseed: 1\n");
  EXPECT_THAT(std::string(LoadJob(path, {}).status().message()),
              StartsWith(path + ":2: unknown key"));
}

TEST_F(JobFile, MissingIsNotFound) {
  const absl::Status status = LoadJob("/nowhere/a.yaml", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/a.yaml: No such file"));
}

TEST_F(JobFile, DirectoryIsRefused) {
  const std::string path = absl::StrCat(testing::TempDir(), "/folder.yaml");
  ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  const absl::Status status = LoadJob(path, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is it a directory?"));
}

TEST_F(JobFile, LargerThanAMebibyteIsRefused) {
  const absl::Status status =
      LoadJob(Write("big.yaml", std::string((1 << 20) + 1, '#')), {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 1 MiB"));
  EXPECT_TRUE(LoadJob(Write("full.yaml", std::string(1 << 20, '#')), {}).ok());
}

// The rules themselves.

void ExpectRules(const google::protobuf::Descriptor& type) {
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    if (field.message_type() != nullptr) {
      ExpectRules(*field.message_type());
    } else {
      EXPECT_TRUE(field.options().HasExtension(proto::rule)) << field.full_name();
    }
  }
}

TEST(JobRules, EveryFieldHasOne) { ExpectRules(*proto::JobConfig::descriptor()); }

TEST(JobLoader, AnAlphaScheduleIsReadWhereItIsWritten) {
  EXPECT_TRUE(Parse("compression: {alpha_schedule: cosine 0.5 1.5}").ok());
  EXPECT_THAT(ErrorOf("compression: {alpha_schedule: cosine 0.5}"),
              testing::HasSubstr("a.yaml:1: compression.alpha_schedule: expected \"linear START"));
}

TEST(JobLoader, ErrorsAreCorrectedByWhatErrorFeedbackKeeps) {
  EXPECT_TRUE(Parse("compression: {error_correction: on}").ok());
  EXPECT_THAT(ErrorOf("compression: {error_correction: on, error_feedback: off}"),
              testing::HasSubstr("compression.error_correction: compression.error_feedback off"));
}

TEST(JobLoader, ElasticLimitsFitTogether) {
  EXPECT_TRUE(Parse("world: {size: 4, min_size: 2, max_size: 6}").ok());
  EXPECT_THAT(ErrorOf("world: {size: 4, min_size: 5}"),
              testing::HasSubstr("world.min_size: expected at most world.size, 4, got 5"));
  EXPECT_THAT(ErrorOf("world: {size: 4, min_size: 2, max_size: 3}"),
              testing::HasSubstr("world.max_size: expected at least"));
  EXPECT_THAT(ErrorOf("world: {size: 4, min_size: 2, cooldown_min_seconds: 5}"),
              testing::HasSubstr("world.cooldown_max_seconds: expected at least"));
  EXPECT_THAT(ErrorOf("world: {size: 4, max_size: 6}"),
              testing::HasSubstr("set world.min_size too"));
}

TEST(JobLoader, SettingsOfTrainingFitTogether) {
  EXPECT_TRUE(Parse("training: {global_batch: 8, accumulation_steps: 8}").ok());
  EXPECT_THAT(ErrorOf("training: {global_batch: 8, accumulation_steps: 9}"),
              testing::HasSubstr("a.yaml:1: training.accumulation_steps: expected at most "
                                 "training.global_batch, 8, got 9"));
  EXPECT_TRUE(Parse("training: {local_steps: 4}").ok());
  EXPECT_THAT(ErrorOf("training: {local_steps: 4, on_nan: skip}"),
              testing::HasSubstr("a.yaml:1: training.local_steps: training.on_nan skip"));
  EXPECT_TRUE(Parse("training: {sync_batch_norm: true}").ok());
  for (const char* other : {"training: {sync_batch_norm: true, accumulation_steps: 2}",
                            "training: {sync_batch_norm: true, local_steps: 2}",
                            "training: {sync_batch_norm: true}\nmodel: {torchscript: a.pt}"}) {
    EXPECT_THAT(ErrorOf(other), testing::HasSubstr("a.yaml:1: training.sync_batch_norm: "));
  }
  EXPECT_TRUE(Parse("optimizer: {nesterov: on}").ok());
  EXPECT_THAT(ErrorOf("optimizer: {nesterov: on, momentum: 0}"),
              testing::HasSubstr("optimizer.nesterov: needs kind sgd and a momentum above 0"));
  EXPECT_THAT(ErrorOf("optimizer: {nesterov: on, kind: adam}"),
              testing::HasSubstr("optimizer.nesterov: needs kind sgd and a momentum above 0"));
  EXPECT_TRUE(Parse("schedule: {kind: one_cycle}").ok());
  EXPECT_THAT(ErrorOf("schedule: {kind: one_cycle, warmup_steps: 5}"),
              testing::HasSubstr("schedule.warmup_steps: schedule.kind one_cycle"));
}

TEST(JobLoader, ResumingFromTheNewestNeedsAFolderToLookIn) {
  EXPECT_TRUE(Parse("checkpoint: {resume: auto, directory: ckpt}").ok());
  EXPECT_THAT(ErrorOf("checkpoint: {resume: auto}"),
              testing::HasSubstr("auto looks in checkpoint.directory, which is not set"));
}

TEST(JobLoader, AProgramsWordsPassWhole) {
  const auto job = Parse("program: {command: [./train, \"two words\", \"--x=#1\"]}");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(job->program().command(), testing::ElementsAre("./train", "two words", "--x=#1"));
}

TEST(JobLoader, AProgramWritesItsOwnCheckpoints) {
  EXPECT_THAT(ErrorOf("program: {command: [./train]}\ncheckpoint: {every_steps: 5}"),
              testing::HasSubstr("checkpoint.every_steps: a program keeps and restores its state"));
  EXPECT_THAT(ErrorOf("program: {command: [./train]}\ncheckpoint: {resume: x}"),
              testing::HasSubstr("checkpoint.resume: a program keeps"));
}

TEST(JobLoader, AProgramHasPhasesOfItsOwn) {
  EXPECT_THAT(ErrorOf("program: {command: [./train]}\nphases: [{steps: 5}]"),
              testing::HasSubstr("phases: a program decides itself what it trains when"));
}

TEST(JobLoader, AProgramHasAName) {
  EXPECT_THAT(ErrorOf("program: {command: [\"\"]}"),
              testing::HasSubstr("program.command: its first word is the path of a program"));
}

}  // namespace
}  // namespace sluice
