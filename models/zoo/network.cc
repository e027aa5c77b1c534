#include "models/zoo/network.h"

#include <torch/serialize/archive.h>

namespace sluice {

void Network::WriteArchive(std::ostream& out) const {
  torch::serialize::OutputArchive archive;
  save(archive);
  archive.save_to(out);
}

}  // namespace sluice
