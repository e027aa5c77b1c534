#pragma once

#include <memory>
#include <vector>

#include "comm/transport/transport.h"

namespace sluice {

/// Transports of `peers` peers in this process, connected to each other: for tests and for a world
/// of one. Each may be used by another thread. Destroying one makes it "gone" for the others.
std::vector<std::unique_ptr<Transport>> CreateInprocTransports(int peers);

}  // namespace sluice
