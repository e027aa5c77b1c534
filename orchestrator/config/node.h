#pragma once

#include <string>
#include <vector>

namespace sluice {

/// A job file as it was written, before anybody asks what its keys mean. All formats end up here,
/// so that one set of checks serves them all.
struct Node {
  enum class Kind { kNull, kScalar, kSequence, kMap };

  Kind kind = Kind::kNull;
  std::string text;     ///< scalars
  bool quoted = false;  ///< scalars: was in quotes, so it is text and not a number
  int line = 0;         ///< from 1
  /// Maps: keys[i] belongs to values[i]; keys are scalars and may repeat. Sequences: values alone.
  std::vector<Node> keys;
  std::vector<Node> values;
};

/// Limits of every reader: far above any job, low enough that no file can hurt the process.
inline constexpr int kMaxJobFileBytes = 1 << 20;
inline constexpr int kMaxNodeDepth = 16;
inline constexpr int kMaxNodes = 20000;

}  // namespace sluice
