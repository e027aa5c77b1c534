#pragma once

#include <string>
#include <vector>

#include "orchestrator/preflight/host_facts.h"

namespace sluice {

/// One thing that was built in, or can be used on this machine.
struct BuildItem {
  bool there = false;
  std::string name;
  std::string detail;  ///< its version, or why it is not there
};

struct BuildList {
  std::string title;
  std::vector<BuildItem> items;
};

/// Frameworks, controllers and tensor operations. `self` is what SurveyHost told of this machine.
std::vector<BuildList> BuildReport(const HostFacts& self);

/// Title and a mark for each item, as horovodrun --check-build shows it.
std::string BuildText(const std::vector<BuildList>& lists);
/// One line.
std::string BuildJson(const std::vector<BuildList>& lists);

}  // namespace sluice
