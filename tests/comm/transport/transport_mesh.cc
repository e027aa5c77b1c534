#include "tests/comm/transport/transport_mesh.h"

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "comm/transport/inproc_transport.h"
#include "comm/transport/ucx_transport.h"
#include "gtest/gtest.h"

namespace sluice {

std::string ToString(MeshKind kind) {
  switch (kind) {
    case MeshKind::kInproc:
      return "Inproc";
    case MeshKind::kUcxTcp:
      return "UcxTcp";
    case MeshKind::kUcxShm:
      return "UcxShm";
  }
  return "?";
}

std::ostream& operator<<(std::ostream& out, MeshKind kind) { return out << ToString(kind); }

std::vector<std::unique_ptr<Transport>> CreateMesh(MeshKind kind, int peers) {
  if (kind == MeshKind::kInproc) return CreateInprocTransports(peers);
  // Without tcp at hand a refused shared memory is an error, not a silent detour.
  const UcxEndpointSeed::Options options{kind == MeshKind::kUcxTcp ? "tcp,self" : "posix,cma,self"};
  std::vector<std::unique_ptr<UcxEndpointSeed>> seeds;
  std::vector<std::string> addresses;
  for (int rank = 0; rank < peers; ++rank) {
    auto seed = UcxEndpointSeed::Create(options);
    if (!seed.ok()) {
      ADD_FAILURE() << seed.status();
      return {};
    }
    addresses.push_back((*seed)->address());
    seeds.push_back(*std::move(seed));
  }
  std::vector<std::unique_ptr<Transport>> mesh;
  for (int rank = 0; rank < peers; ++rank) {
    auto transport = std::move(*seeds[rank])
                         .Connect(Rank(rank), addresses, "a key that all of these ranks have");
    if (!transport.ok()) {
      ADD_FAILURE() << transport.status();
      return {};
    }
    mesh.push_back(*std::move(transport));
  }
  return mesh;
}

void RunRanks(std::vector<std::unique_ptr<Transport>> mesh,
              const std::function<void(Transport&, int)>& body) {
  std::vector<std::thread> ranks;
  for (size_t rank = 0; rank < mesh.size(); ++rank) {
    ranks.emplace_back([&, rank] {
      body(*mesh[rank], static_cast<int>(rank));
      mesh[rank].reset();
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

absl::Time Never() { return absl::Now() + absl::Minutes(5); }

}  // namespace sluice
