#include "models/graph/source.h"

namespace sluice::graph {

at::Tensor StateList::Add(const std::string& name, const at::Tensor& tensor, bool parameter) {
  const Place place{tensor.storage().unsafeGetStorageImpl(), tensor.storage_offset(),
                    tensor.sizes().vec(), tensor.strides().vec()};
  const auto [known, is_new] = places_.emplace(place, states_.size());
  if (is_new) {
    states_.push_back({name, {}, tensor, parameter && tensor.requires_grad(), parameter});
  } else {
    states_[known->second].aliases.push_back(name);
  }
  return states_[known->second].tensor;
}

}  // namespace sluice::graph
