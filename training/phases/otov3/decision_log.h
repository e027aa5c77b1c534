#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "training/phases/otov3/group_view.h"

namespace sluice::otov3 {

/// What was decided about groups.
enum class DecisionKind : uint8_t {
  kRedundant = 1,  ///< these are to become zero; beside those chosen before
  kZero = 2,       ///< these are zero from this step on
  kShrink = 3,     ///< these shrink from this step on
};

struct Decision {
  int64_t step = 0;  ///< of the job
  DecisionKind kind = DecisionKind::kRedundant;
  std::vector<bool> groups;  ///< by number
};

/// XXH3 over the slices of all groups: parameter, dimension, indices.
uint64_t DigestOf(const GroupView& view);

/// All decisions of a phase, in order: what was pruned, and why replicas are equal. Append-only.
///
/// The digest chains over them: digest = XXH3(digest before, step, kind, bitset per class), from one of the classes
/// and the groups on. Two ranks with one digest have made the same decisions at the same steps about the same weights.
class DecisionLog {
 public:
  /// \param groups  a digest of which weights the groups are (DigestOf)
  DecisionLog(absl::Span<const ClassRange> classes, uint64_t groups);

  void Append(Decision decision);
  absl::Span<const Decision> decisions() const { return decisions_; }
  uint64_t digest() const { return digest_; }

  /// Little-endian: digest u64, decisions u64, and per decision step i64, kind u8, and by class in order
  /// ceil(units / 8) bytes, unit u in bit u % 8 of byte u / 8.
  std::string Write() const;
  /// The log of the same classes that `bytes` begin with, which are advanced past it. Any bytes are allowed.
  /// \error kDataLoss            they end early, or an unknown kind
  /// \error kFailedPrecondition  the digest is another: of other groups
  absl::Status Read(absl::string_view& bytes);

 private:
  std::string BytesOf(const Decision& decision) const;

  std::vector<ClassRange> classes_;
  uint64_t of_groups_;
  int groups_ = 0;
  size_t bitset_bytes_ = 0;
  uint64_t begin_ = 0;  // the digest without decisions
  uint64_t digest_ = 0;
  std::vector<Decision> decisions_;
};

}  // namespace sluice::otov3
