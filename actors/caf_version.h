#pragma once

#include <string>

namespace sluice {

/// Of the CAF that this was built with, which is the one that is loaded: its file's name has the version.
std::string CafVersion();

}  // namespace sluice
