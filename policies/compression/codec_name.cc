#include "policies/compression/codec_name.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr int kMinBucketSize = 4;
constexpr int kMaxBucketSize = 65536;
constexpr int kMillion = 1000000;
constexpr int kPpmPerPercent = 10000;
constexpr int kMaxRank = 256;
/// Of a name in an error message.
constexpr size_t kLongestShown = 60;

struct Family {
  proto::CodecKind kind;
  absl::string_view name;
  int min_bits, max_bits;  // equal: they are not in the name
  bool buckets;
  bool may_be_stochastic;
};

constexpr Family kFamilies[] = {
    {proto::CODEC_RAW, "raw", 0, 0, false, false},
    {proto::CODEC_FP16, "fp16", 0, 0, false, false},
    {proto::CODEC_BF16, "bf16", 0, 0, false, false},
    {proto::CODEC_MAXMIN, "maxmin", 1, 8, true, true},
    {proto::CODEC_L2NORM, "l2norm", 2, 8, true, true},
    {proto::CODEC_SIGN, "sign", 1, 1, true, false},
    {proto::CODEC_CLIPPED, "clipped", 1, 4, true, false},
    {proto::CODEC_TERNARY, "ternary", 2, 2, true, false},
    {proto::CODEC_DROP, "drop", 0, 0, false, false},
    {proto::CODEC_TOP_K, "topk", 4, 32, false, false},
    {proto::CODEC_LOW_RANK, "lowrank", 8, 32, false, false},
};

bool HasValues(const Family& family) { return family.max_bits == 32; }

// Whether the family can have these parameters, and has no others.
bool IsPossible(const Family& family, const proto::CodecChoice& codec) {
  const auto within = [](int value, bool used, int least, int most) {
    return used ? value >= least && value <= most : value == 0;
  };
  const int bits = codec.bits();
  const bool known_value = bits == 32 || bits == 16 || bits == 8 || bits == family.min_bits;
  const bool sparse = family.kind == proto::CODEC_TOP_K;
  return bits >= family.min_bits && bits <= family.max_bits &&
         (!HasValues(family) || known_value) &&
         within(codec.bucket_size(), family.buckets, kMinBucketSize, kMaxBucketSize) &&
         within(codec.density_ppm(), sparse, 1, kMillion) &&
         within(codec.rank(), family.kind == proto::CODEC_LOW_RANK, 1, kMaxRank) &&
         (family.may_be_stochastic || !codec.stochastic()) && (sparse || !codec.exact());
}

std::string ValueName(int bits) {
  return bits == 32 ? "fp32" : bits == 16 ? "fp16" : absl::StrCat("q", bits);
}

// The digits at the front of `text`, which then begins behind them.
bool TakeNumber(absl::string_view* text, int* number) {
  size_t digits = 0;
  while (digits < text->size() && (*text)[digits] >= '0' && (*text)[digits] <= '9') ++digits;
  const bool fits = absl::SimpleAtoi(text->substr(0, digits), number);
  text->remove_prefix(digits);
  return fits;
}

// Percent with up to four decimals, exactly.
bool TakeDensity(absl::string_view* text, int* ppm) {
  int whole = 0, part = 0;
  if (!TakeNumber(text, &whole) || whole > 100) return false;
  if (absl::ConsumePrefix(text, ".")) {
    for (int unit = kPpmPerPercent / 10; unit > 0; unit /= 10) {
      if (text->empty() || text->front() < '0' || text->front() > '9') break;
      part += unit * (text->front() - '0');
      text->remove_prefix(1);
    }
  }
  *ppm = whole * kPpmPerPercent + part;
  return absl::ConsumePrefix(text, "%");
}

bool TakeValue(absl::string_view* text, int* bits) {
  for (const int known : {32, 16, 8, 4}) {
    if (!absl::ConsumePrefix(text, ValueName(known))) continue;
    *bits = known;
    return true;
  }
  return false;
}

// What follows the family's name. Lenient in spelling: the caller compares the whole.
bool ReadParameters(const Family& family, absl::string_view rest, proto::CodecChoice* codec) {
  int bits = family.min_bits, bucket = 0, density = 0, rank = 0;
  if (family.kind == proto::CODEC_TOP_K && !TakeDensity(&rest, &density)) return false;
  if (family.kind == proto::CODEC_LOW_RANK && !TakeNumber(&rest, &rank)) return false;
  if (HasValues(family)) {
    if (!absl::ConsumePrefix(&rest, "/") || !TakeValue(&rest, &bits)) return false;
  } else if (family.min_bits != family.max_bits && !TakeNumber(&rest, &bits)) {
    return false;
  }
  if (family.buckets && !(absl::ConsumePrefix(&rest, "/") && TakeNumber(&rest, &bucket))) {
    return false;
  }
  codec->set_kind(family.kind);
  codec->set_bits(bits);
  codec->set_bucket_size(bucket);
  codec->set_density_ppm(density);
  codec->set_rank(rank);
  codec->set_exact(absl::ConsumePrefix(&rest, "x"));
  codec->set_stochastic(absl::ConsumePrefix(&rest, "s"));
  return rest.empty();
}

}  // namespace

std::string CodecName(const proto::CodecChoice& codec) {
  for (const Family& family : kFamilies) {
    if (family.kind != codec.kind()) continue;
    if (!IsPossible(family, codec)) break;
    std::string name(family.name);
    if (family.kind == proto::CODEC_TOP_K) {
      absl::StrAppend(&name, codec.density_ppm() / static_cast<double>(kPpmPerPercent), "%");
    }
    if (family.kind == proto::CODEC_LOW_RANK) absl::StrAppend(&name, codec.rank());
    if (HasValues(family)) {
      absl::StrAppend(&name, "/", ValueName(codec.bits()));
    } else if (family.min_bits != family.max_bits) {
      absl::StrAppend(&name, codec.bits());
    }
    if (family.buckets) absl::StrAppend(&name, "/", codec.bucket_size());
    absl::StrAppend(&name, codec.exact() ? "x" : "", codec.stochastic() ? "s" : "");
    return name;
  }
  return "?";
}

absl::StatusOr<proto::CodecChoice> ParseCodecName(absl::string_view name) {
  for (const Family& family : kFamilies) {
    absl::string_view rest = name;
    proto::CodecChoice codec;
    if (!absl::ConsumePrefix(&rest, family.name)) continue;
    // One name per codec: "maxmin04/512" and "topk1.0%/fp32" are none.
    if (ReadParameters(family, rest, &codec) && CodecName(codec) == name) return codec;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::CHexEscape(name.substr(0, kLongestShown)),
      name.size() > kLongestShown ? "..." : "",
      "\" is no codec, expected raw, fp16, bf16, drop, maxmin4/512, l2norm4/512s, sign/512, "
      "clipped2/512, ternary/512, topk1%/fp16, lowrank4/fp32 or the like"));
}

}  // namespace sluice
