#include "policies/compression/codec_name.h"

#include <string>
#include <vector>

#include "actors/codec_choice.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policies/compression/codec_choice.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

// Every kind with parameters in and just out of its range, possible or not.
std::vector<proto::CodecChoice> AllChoices() {
  std::vector<proto::CodecChoice> all;
  for (int kind = proto::CODEC_RAW; kind <= proto::CODEC_LOW_RANK + 1; ++kind) {
    for (const int bits : {0, 1, 2, 3, 4, 5, 8, 9, 12, 16, 32}) {
      for (const int bucket : {0, 3, 4, 100, 512, 65536, 65537}) {
        for (const int density : {0, 1, 10, 123456, 999999, 1000000, 1000001}) {
          for (const int rank : {0, 1, 16, 256, 257}) {
            for (const int flags : {0, 1, 2, 3}) {
              proto::CodecChoice& codec = all.emplace_back();
              codec.set_kind(static_cast<proto::CodecKind>(kind));
              codec.set_bits(bits);
              codec.set_bucket_size(bucket);
              codec.set_density_ppm(density);
              codec.set_rank(rank);
              codec.set_stochastic((flags & 1) != 0);
              codec.set_exact((flags & 2) != 0);
            }
          }
        }
      }
    }
  }
  return all;
}

TEST(CodecName, IsThatOfTheDataPlane) {
  int possible = 0;
  for (const proto::CodecChoice& codec : AllChoices()) {
    const auto config = ToCodecConfig(codec);
    possible += config.ok();
    ASSERT_EQ(CodecName(codec), config.ok() ? ToString(*config) : "?") << codec.ShortDebugString();
  }
  EXPECT_GT(possible, 150);
}

TEST(CodecName, ReadsBackAsTheSameCodec) {
  for (const proto::CodecChoice& codec : AllChoices()) {
    const std::string name = CodecName(codec);
    if (name == "?") continue;
    const auto read = ParseCodecName(name);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_TRUE(SameCodec(*read, codec)) << name << ": " << read->ShortDebugString();
  }
}

TEST(CodecName, EveryDensityReadsBackToTheMillionth) {
  for (int ppm = 1; ppm <= 1000000; ppm += ppm < 30000 ? 1 : 97) {
    proto::CodecChoice codec;
    codec.set_kind(proto::CODEC_TOP_K);
    codec.set_bits(8);
    codec.set_density_ppm(ppm);
    const auto read = ParseCodecName(CodecName(codec));
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(read->density_ppm(), ppm) << CodecName(codec);
  }
}

TEST(CodecName, OnlyTheOneSpellingIsRead) {
  for (const std::string name : {"",
                                 "?",
                                 "Raw",
                                 "raw ",
                                 "raw4",
                                 "maxmin",
                                 "maxmin4",
                                 "maxmin4/",
                                 "maxmin04/512",
                                 "maxmin4/512x",
                                 "maxmin9/512",
                                 "maxmin4/3",
                                 "l2norm1/512",
                                 "clipped5/512",
                                 "sign1/512",
                                 "ternary/512s",
                                 "topk1/fp32",
                                 "topk1%",
                                 "topk1.0%/fp32",
                                 "topk0%/fp32",
                                 "topk101%/fp32",
                                 "topk1%/q16",
                                 "topk0.00001%/fp32",
                                 "topk1%/fp16xx",
                                 "lowrank0/fp32",
                                 "lowrank257/fp32",
                                 "lowrank4/q4",
                                 "lowrank99999999999/fp32",
                                 "maxmin-4/512",
                                 "maxmin+4/512"}) {
    EXPECT_EQ(ParseCodecName(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(CodecName, AnErrorShowsWhatThereIsAndLittleOfWhatWasGiven) {
  const std::string message(ParseCodecName(std::string(10000, '\n')).status().message());
  EXPECT_THAT(message, HasSubstr("maxmin4/512"));
  EXPECT_LT(message.size(), 400u);
}

}  // namespace
}  // namespace sluice
