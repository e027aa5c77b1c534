#pragma once

#include <cstdint>
#include <vector>

#include "models/zoo/network.h"
#include "training/model_state.h"
#include "training/robust/weight_matrix.h"

namespace sluice {

/// The weight of one linear or convolution layer.
struct LayerWeight {
  at::Tensor tensor;     ///< outputs first; two or four dimensions
  size_t parameter = 0;  ///< its index among the parameters
  WeightMatrix shape;    ///< without values

  /// With the values that it has now; valid as long as the tensor.
  WeightMatrix View() const;
};

/// In the network's order: the last one is the classifier. Weights have names that end in "weight". Groups of a
/// convolution are known of modules, those of a TorchScript file count as one.
/// \param parameters  ParametersInBackwardOrder of the network
std::vector<LayerWeight> LayerWeightsOf(const Network& network,
                                        const std::vector<NamedParameter>& parameters);

}  // namespace sluice
