#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "comm/transport/transport.h"

namespace sluice {

/// The transports that tests run over.
enum class MeshKind { kInproc, kUcxTcp, kUcxShm };

std::string ToString(MeshKind kind);
std::ostream& operator<<(std::ostream& out, MeshKind kind);

/// Transports of `peers` connected peers in this process, by rank. Fails the test when UCX cannot
/// start.
std::vector<std::unique_ptr<Transport>> CreateMesh(MeshKind kind, int peers);

/// Runs body(transport, rank) for all ranks, each on its own thread, which also destroys the
/// transport: peers leave as processes do. Returns when all have.
void RunRanks(std::vector<std::unique_ptr<Transport>> mesh,
              const std::function<void(Transport&, int)>& body);

/// A deadline that tests never reach unless something hangs.
absl::Time Never();

}  // namespace sluice
