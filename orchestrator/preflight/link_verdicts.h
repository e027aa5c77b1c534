#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "orchestrator/preflight/check_table.h"
#include "orchestrator/preflight/pair_rounds.h"

namespace sluice {

/// What two hosts found when one connected to the other. `a` is the one that listened.
struct LinkFacts {
  int a = 0, b = 0;           ///< hosts by index
  std::string address;        ///< of a, with port
  std::string error;          ///< why b could not connect; empty: it could
  absl::Duration latency;     ///< half of the median round trip
  double to_a = 0, to_b = 0;  ///< bytes per second; 0: not measured
};

/// A link below this part of what a third of all links reach is slow.
inline constexpr double kSlowLink = 0.5;

/// Rows of all links; a host whose links are all slow is named instead of them. Pure.
/// \param names  of the hosts
std::vector<CheckRow> JudgeLinks(const std::vector<std::string>& names,
                                 const std::vector<LinkFacts>& links);

}  // namespace sluice
