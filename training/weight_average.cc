#include "training/weight_average.h"

#include <torch/types.h>

#include <algorithm>

#include "training/trainer_state.h"

namespace sluice {

WeightAverage::WeightAverage(const std::vector<NamedParameter>& parameters, double decay)
    : parameters_(parameters), decay_(decay) {
  for (const NamedParameter& parameter : parameters) {
    average_.push_back({parameter.name, parameter.tensor.detach().clone()});
  }
}

void WeightAverage::Update(Step step) {
  const torch::NoGradGuard no_gradients;
  const double keep = std::min(
      decay_, (1.0 + static_cast<double>(step.value)) / (10.0 + static_cast<double>(step.value)));
  for (size_t i = 0; i < average_.size(); ++i) {
    average_[i].tensor.lerp_(parameters_[i].tensor, 1 - keep);
  }
}

void WeightAverage::Restart() {
  const torch::NoGradGuard no_gradients;
  for (size_t i = 0; i < average_.size(); ++i) average_[i].tensor.copy_(parameters_[i].tensor);
}

void WeightAverage::Zero(int index, int64_t begin, int64_t size) {
  std::fill_n(average_[static_cast<size_t>(index)].tensor.data_ptr<float>() + begin, size, 0.0f);
}

void WeightAverage::Swap() {
  for (size_t i = 0; i < average_.size(); ++i) {
    float* const parameter = parameters_[i].tensor.data_ptr<float>();
    std::swap_ranges(parameter, parameter + parameters_[i].tensor.numel(),
                     average_[i].tensor.data_ptr<float>());
  }
}

std::vector<SafeTensor> WeightAverage::Tensors(const std::string& prefix) const {
  std::vector<SafeTensor> tensors = ParameterTensors(average_);
  for (SafeTensor& tensor : tensors) tensor.name = prefix + tensor.name;
  return tensors;
}

}  // namespace sluice
