#pragma once

#include <string>
#include <vector>

namespace sluice {

/// How one check came out, worst first. A remark does not fail the preflight.
enum class Outcome { kFailed, kRemark, kPassed };

/// One line of the preflight's table.
struct CheckRow {
  Outcome outcome = Outcome::kPassed;
  std::string check;               ///< "clock", "shared memory"
  std::vector<std::string> where;  ///< hosts, or one "a -> b"
  std::string what;                ///< what was found: both values, where two were compared
  std::string advice;              ///< what to do; empty if it passed
  int exit_code = 0;               ///< if it failed: 69, 74, 77 or 78
};

/// Joins rows that say the same of several hosts, and puts the worst first; otherwise in the order given.
std::vector<CheckRow> WorstFirst(std::vector<CheckRow> rows);

/// For people, of `hosts` hosts in all, with a last line that sums up.
std::string TableText(const std::vector<CheckRow>& rows, int hosts);

/// 0 if nothing failed, else of what failed the first of 69, 77, 78, 74: a host that cannot be reached
/// hides what else it has.
int ExitCodeOf(const std::vector<CheckRow>& rows);

const char* ToString(Outcome outcome);

}  // namespace sluice
