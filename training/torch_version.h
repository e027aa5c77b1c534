#pragma once

#include <string>

namespace sluice {

/// Of the LibTorch that is loaded, e.g. "1.13.1"; where it does not tell, of the one that this was built with.
std::string TorchVersion();

}  // namespace sluice
