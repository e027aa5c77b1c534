#include "training/robust/network_weights.h"

#include <torch/nn/modules/conv.h>

#include <map>
#include <string>

#include "absl/strings/match.h"

namespace sluice {

WeightMatrix LayerWeight::View() const {
  WeightMatrix matrix = shape;
  matrix.values = {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
  return matrix;
}

std::vector<LayerWeight> LayerWeightsOf(const Network& network,
                                        const std::vector<NamedParameter>& parameters) {
  std::map<std::string, int64_t> groups;
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    if (const auto* convolution = item.value()->as<torch::nn::Conv2d>()) {
      groups[item.key() + ".weight"] = convolution->options.groups();
    }
  }
  std::vector<LayerWeight> layers;
  for (size_t i = parameters.size(); i-- > 0;) {
    const at::Tensor& tensor = parameters[i].tensor;
    if (!absl::EndsWith(parameters[i].name, "weight")) continue;
    if (tensor.dim() != 2 && tensor.dim() != 4) continue;
    LayerWeight layer{tensor, i, {}};
    layer.shape.name = parameters[i].name;
    layer.shape.rows = tensor.size(0);
    layer.shape.cols = tensor.numel() / tensor.size(0);
    layer.shape.places = layer.shape.cols / tensor.size(1);
    const auto found = groups.find(layer.shape.name);
    layer.shape.groups = found == groups.end() ? 1 : found->second;
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace sluice
