#include "training/phases/otov3/decision_log.h"

#include <xxhash.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace sluice::otov3 {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");

template <class Number>
void Put(Number number, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

template <class Number>
bool Take(absl::string_view& bytes, Number* number) {
  if (bytes.size() < sizeof(Number)) return false;
  std::memcpy(number, bytes.data(), sizeof(Number));
  bytes.remove_prefix(sizeof(Number));
  return true;
}

size_t BytesFor(int units) { return (static_cast<size_t>(units) + 7) / 8; }

absl::Status EndsEarly() { return absl::DataLossError("the log of decisions ends early"); }

}  // namespace

uint64_t DigestOf(const GroupView& view) {
  std::string bytes;
  for (int g = 0; g < view.size(); ++g) {
    for (const graph::Slice& slice : view.group(g).slices) {
      Put(static_cast<uint64_t>(slice.state.size()), &bytes);
      bytes += slice.state;
      Put(static_cast<int32_t>(slice.dim), &bytes);
      Put(static_cast<uint64_t>(slice.indices.size()), &bytes);
      for (const int64_t index : slice.indices) Put(index, &bytes);
    }
  }
  return XXH3_64bits(bytes.data(), bytes.size());
}

DecisionLog::DecisionLog(absl::Span<const ClassRange> classes, uint64_t groups)
    : classes_(classes.begin(), classes.end()), of_groups_(groups) {
  std::string shape;
  Put(groups, &shape);
  for (const ClassRange& range : classes_) {
    Put(range.class_id, &shape);
    Put(range.units, &shape);
    groups_ += range.units;
    bitset_bytes_ += BytesFor(range.units);
  }
  begin_ = XXH3_64bits(shape.data(), shape.size());
  digest_ = begin_;
}

std::string DecisionLog::BytesOf(const Decision& decision) const {
  std::string bytes;
  Put(decision.step, &bytes);
  Put(decision.kind, &bytes);
  for (const ClassRange& range : classes_) {
    std::string bits(BytesFor(range.units), '\0');
    for (int u = 0; u < range.units; ++u) {
      if (!decision.groups[static_cast<size_t>(range.first + u)]) continue;
      char& byte = bits[static_cast<size_t>(u) / 8];
      byte = static_cast<char>(byte | 1 << u % 8);
    }
    bytes += bits;
  }
  return bytes;
}

void DecisionLog::Append(Decision decision) {
  SLUICE_CHECK(static_cast<int>(decision.groups.size()) == groups_, "a bit for every group");
  const std::string bytes = BytesOf(decision);
  digest_ = XXH3_64bits_withSeed(bytes.data(), bytes.size(), digest_);
  decisions_.push_back(std::move(decision));
}

std::string DecisionLog::Write() const {
  std::string bytes;
  Put(digest_, &bytes);
  Put(static_cast<uint64_t>(decisions_.size()), &bytes);
  for (const Decision& decision : decisions_) bytes += BytesOf(decision);
  return bytes;
}

absl::Status DecisionLog::Read(absl::string_view& bytes) {
  uint64_t digest = 0, count = 0;
  if (!Take(bytes, &digest) || !Take(bytes, &count)) return EndsEarly();
  DecisionLog read(classes_, of_groups_);
  for (uint64_t i = 0; i < count; ++i) {
    Decision decision;
    if (!Take(bytes, &decision.step) || !Take(bytes, &decision.kind) ||
        bytes.size() < bitset_bytes_) {
      return EndsEarly();
    }
    if (decision.kind < DecisionKind::kRedundant || decision.kind > DecisionKind::kShrink) {
      return absl::DataLossError(
          absl::StrCat("the log of decisions has one of kind ", static_cast<int>(decision.kind)));
    }
    for (const ClassRange& range : classes_) {
      for (int u = 0; u < range.units; ++u) {
        decision.groups.push_back((bytes[static_cast<size_t>(u) / 8] >> u % 8 & 1) != 0);
      }
      bytes.remove_prefix(BytesFor(range.units));
    }
    read.Append(std::move(decision));
  }
  if (read.digest() != digest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "decisions with digest ", absl::Hex(digest, absl::kZeroPad16), ", here they give ",
        absl::Hex(read.digest(), absl::kZeroPad16), ": they are about other groups"));
  }
  *this = std::move(read);
  return absl::OkStatus();
}

}  // namespace sluice::otov3
