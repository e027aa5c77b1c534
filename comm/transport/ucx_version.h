#pragma once

#include <string>

namespace sluice {

/// Of the UCX that is loaded, e.g. "1.13.1".
std::string UcxVersion();

}  // namespace sluice
