#pragma once

#include <string>

#include "training/robust/robustness.h"

namespace sluice {

/// Two tables, ending in a newline: what is classified right under each attack, and the layers' singular values.
std::string RobustnessText(const RobustnessReport& report, double eps);

/// The same as one JSON object without a newline (docs/tscnc.md); what is infinite is the string "inf".
std::string RobustnessJson(const RobustnessReport& report, const std::string& checkpoint,
                           double eps);

}  // namespace sluice
