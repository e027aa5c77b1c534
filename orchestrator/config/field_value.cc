#include "orchestrator/config/field_value.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "orchestrator/config/nearest_word.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// [+-] digits [. digits] [e [+-] digits], no leading zeros; "1." and ".5" are fine.
bool IsDecimal(absl::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && IsDigit(text[i])) ++i;
    return i - start;
  };
  if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
  const size_t whole_at = i;
  size_t mantissa = digits();
  if (mantissa > 1 && text[whole_at] == '0') return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

std::optional<double> ParseNumber(const Node& scalar) {
  double value = 0;
  if (scalar.quoted || scalar.text.size() > 400 || !IsDecimal(scalar.text)) return std::nullopt;
  const char* begin = scalar.text.data() + (scalar.text[0] == '+' ? 1 : 0);
  if (!absl::SimpleAtod(absl::string_view(begin, scalar.text.data() + scalar.text.size() - begin),
                        &value) ||
      !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// The whole number that `scalar` writes, when it fits `Int`.
template <class Int>
std::optional<Int> ParseWhole(const Node& scalar) {
  const std::optional<double> number = ParseNumber(scalar);
  if (!number || *number != std::floor(*number)) return std::nullopt;
  Int exact = 0;
  if (absl::SimpleAtoi(scalar.text, &exact)) return exact;
  // With a point or an exponent: exact as long as a double holds every whole number.
  constexpr double kExact = 9007199254740992;
  if (std::fabs(*number) > kExact) return std::nullopt;
  if (*number < static_cast<double>(std::numeric_limits<Int>::lowest()) ||
      *number > static_cast<double>(std::numeric_limits<Int>::max())) {
    return std::nullopt;
  }
  return static_cast<Int>(*number);
}

// Well-formed UTF-8 without control characters, which would break logs and paths.
bool IsCleanText(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) -> uint32_t {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
    };
    const uint32_t first = byte(i);
    if (first < 0x20 || first == 0x7f) return false;
    if (first < 0x80) {
      ++i;
      continue;
    }
    const int length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return false;
    uint32_t code = first & (0xff >> (length + 1));
    for (int k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
      code = code << 6 | (byte(i + k) & 0x3f);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    i += length;
  }
  return true;
}

// "in [1, 8]", "above 0, at most 1000", "0 or more", or "" without bounds.
std::string BoundsText(const proto::FieldRule& rule) {
  if (rule.has_min() && rule.has_max() && !rule.exclusive_min()) {
    return absl::StrCat("in [", NumberText(rule.min()), ", ", NumberText(rule.max()), "]");
  }
  std::string text;
  if (rule.has_min()) {
    text = rule.exclusive_min() ? absl::StrCat("above ", NumberText(rule.min()))
                                : absl::StrCat(NumberText(rule.min()), " or more");
  }
  if (rule.has_max()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", "at most ", NumberText(rule.max()));
  }
  return text;
}

bool InBounds(double value, const proto::FieldRule& rule) {
  if (rule.has_min() && (value < rule.min() || (rule.exclusive_min() && value == rule.min()))) {
    return false;
  }
  return !rule.has_max() || value <= rule.max();
}

absl::Status Expected(const FieldDescriptor& field, const Node& scalar) {
  return absl::InvalidArgumentError(absl::StrCat("expected ", DescribeExpected(field), ", got ",
                                                 scalar.quoted ? "the text " : "",
                                                 Quoted(scalar.text)));
}

absl::Status UnknownWord(const std::string& word, absl::Span<const std::string> words) {
  const std::string hint = DidYouMean(word, words);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown word ", Quoted(word), hint,
                   hint.empty() ? ": accepted are " : " Accepted: ", absl::StrJoin(words, ", ")));
}

// One setter for singular and repeated fields: SetInt32 or AddInt32 and so on.
#define SLUICE_STORE_(Type, value)                                                   \
  (field.is_repeated() ? message.GetReflection()->Add##Type(&message, &field, value) \
                       : message.GetReflection()->Set##Type(&message, &field, value))

template <class Int, class Store>
absl::Status SetWhole(const Node& scalar, const FieldDescriptor& field, Store store) {
  const std::optional<Int> value = ParseWhole<Int>(scalar);
  if (!value || !InBounds(static_cast<double>(*value), RuleOf(field))) {
    return Expected(field, scalar);
  }
  store(*value);
  return absl::OkStatus();
}

absl::Status SetString(const Node& scalar, const FieldDescriptor& field, Message& message) {
  const proto::FieldRule& rule = RuleOf(field);
  if (rule.one_of_size() > 0) {
    const std::vector<std::string> words(rule.one_of().begin(), rule.one_of().end());
    if (std::find(words.begin(), words.end(), scalar.text) == words.end()) {
      return UnknownWord(scalar.text, words);
    }
  } else if (!IsCleanText(scalar.text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected UTF-8 text without control characters, got ", Quoted(scalar.text)));
  } else if (!InBounds(static_cast<double>(scalar.text.size()), rule)) {
    return absl::InvalidArgumentError(absl::StrCat("expected ", DescribeExpected(field), ", got ",
                                                   scalar.text.size(),
                                                   " bytes: ", Quoted(scalar.text)));
  }
  SLUICE_STORE_(String, scalar.text);
  return absl::OkStatus();
}

absl::Status SetEnum(const Node& scalar, const FieldDescriptor& field, Message& message) {
  const auto* value = field.enum_type()->FindValueByName(scalar.text);
  if (value == nullptr) {
    std::vector<std::string> words;
    for (int i = 0; i < field.enum_type()->value_count(); ++i) {
      words.push_back(field.enum_type()->value(i)->name());
    }
    return UnknownWord(scalar.text, words);
  }
  SLUICE_STORE_(Enum, value);
  return absl::OkStatus();
}

}  // namespace

const proto::FieldRule& RuleOf(const FieldDescriptor& field) {
  return field.options().GetExtension(proto::rule);
}

std::string NumberText(double value) {
  std::string text;
  for (int digits = 6; digits <= 17; ++digits) {
    text = absl::StrFormat("%.*g", digits, value);
    double back = 0;
    if (absl::SimpleAtod(text, &back) && back == value) break;
  }
  return absl::StrReplaceAll(text, {{"e+0", "e"}, {"e-0", "e-"}, {"e+", "e"}});
}

std::string DescribeExpected(const FieldDescriptor& field) {
  const proto::FieldRule& rule = RuleOf(field);
  const std::string bounds = BoundsText(rule);
  const std::string suffix = bounds.empty() ? "" : absl::StrCat(" ", bounds);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a group of keys";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      if (rule.one_of_size() > 0)
        return absl::StrCat("one of ", absl::StrJoin(rule.one_of(), ", "));
      return bounds.empty() ? "text" : absl::StrCat("text with a length in bytes of ", bounds);
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> words;
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        words.push_back(field.enum_type()->value(i)->name());
      }
      return absl::StrCat("one of ", absl::StrJoin(words, ", "));
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat("a number", suffix);
    default:
      return absl::StrCat("a whole number", suffix);
  }
}

absl::Status SetScalar(const Node& scalar, const FieldDescriptor& field, Message& message) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return SetWhole<int32_t>(scalar, field, [&](int32_t v) { SLUICE_STORE_(Int32, v); });
    case FieldDescriptor::CPPTYPE_INT64:
      return SetWhole<int64_t>(scalar, field, [&](int64_t v) { SLUICE_STORE_(Int64, v); });
    case FieldDescriptor::CPPTYPE_UINT32:
      return SetWhole<uint32_t>(scalar, field, [&](uint32_t v) { SLUICE_STORE_(UInt32, v); });
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetWhole<uint64_t>(scalar, field, [&](uint64_t v) { SLUICE_STORE_(UInt64, v); });
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: {
      const std::optional<double> value = ParseNumber(scalar);
      if (!value || !InBounds(*value, RuleOf(field))) return Expected(field, scalar);
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        SLUICE_STORE_(Double, *value);
      } else {
        SLUICE_STORE_(Float, static_cast<float>(*value));
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      const bool value = scalar.text == "true";
      if (scalar.quoted || (!value && scalar.text != "false")) return Expected(field, scalar);
      SLUICE_STORE_(Bool, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return SetString(scalar, field, message);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(scalar, field, message);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return absl::InvalidArgumentError("expected a group of keys, got one value");
}

void SetDefaults(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    reflection.ClearField(&message, &field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field.is_repeated()) SetDefaults(*reflection.MutableMessage(&message, &field));
      continue;
    }
    const std::string& text = RuleOf(field).default_value();
    if (text.empty()) continue;
    const std::vector<std::string> values =
        field.is_repeated() ? absl::StrSplit(text, ',') : std::vector<std::string>{text};
    for (const std::string& value : values) {
      Node scalar;
      scalar.kind = Node::Kind::kScalar;
      scalar.text = value;
      SLUICE_CHECK(SetScalar(scalar, field, message).ok(), field.full_name().c_str());
    }
  }
}

}  // namespace sluice
