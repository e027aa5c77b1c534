#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

/// What is left of a command line once its flags have been set.
struct CommandLine {
  std::vector<std::string> positional;
  std::vector<std::string> after_dashes;  ///< everything after a lone `--`, unchanged
  std::vector<std::string> sets;          ///< the values of `--set`, in order
  /// Every other flag as it was given, in order: name with '_', and value.
  std::vector<std::pair<std::string, std::string>> flags;

  /// The values of a flag that may be repeated, in order.
  std::vector<std::string> All(absl::string_view flag) const;
};

/// Parses the words after the subcommand into Abseil flags (ABSL_FLAG), with the spellings that
/// users of horovodrun and torchrun type:
///
/// - `--log-level x`, `--log_level x`, `--log-level=x`, and all of them with one dash: `-np 4`, `-H
/// a:2`.
/// - Booleans take no word: `--json`, `--nojson`, `--no-json`; or `--json=true`.
/// - A word that begins with a dash is no value, unless a digit follows: `--mpi-args=-x`, `--offset
/// -3`.
/// - A flag of two numbers (NumberPair) takes two words.
/// - `--set key=value` may be repeated. A flag given twice has its last value (CommandLine::All has all).
/// - Flags and positional words mix; a lone `--` ends the flags.
///
/// absl::ParseCommandLine is not used: it ends the process, and knows neither one-dash long flags
/// nor flags of one subcommand only.
///
/// \param args           without the program and the subcommand
/// \param allowed_flags  names that this subcommand takes, with `-` or `_`; "set" always is taken
/// \error kInvalidArgument  unknown flag (with the nearest one), missing or bad value; flags before
/// it
///                          have been set
/// \error kInternal         an allowed flag is not linked in
/// \threadsafety main thread, before others start
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args,
                                             absl::Span<const absl::string_view> allowed_flags);

}  // namespace sluice
