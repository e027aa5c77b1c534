#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "models/graph/program.h"
#include "models/graph/trace.h"

namespace sluice::graph {

/// What is imported: a forward with its state.
struct Source {
  TracedFunction forward;
  std::function<void(bool)> train;  ///< sets the mode
  std::vector<State> states;
  bool constants_are_weights = false;  ///< it was frozen
};

/// Collects a source's states, those that are tied once.
class StateList {
 public:
  /// Adds a tensor under its name, or the name to the tensor that it is tied to.
  /// \return the one tensor for all that are tied to it
  at::Tensor Add(const std::string& name, const at::Tensor& tensor, bool parameter);

  const std::vector<State>& states() const { return states_; }

 private:
  // Memory and layout: equal for tied tensors.
  using Place = std::tuple<const void*, int64_t, std::vector<int64_t>, std::vector<int64_t>>;

  std::map<Place, size_t> places_;
  std::vector<State> states_;
};

}  // namespace sluice::graph
