#include "models/zoo/example.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

namespace sluice {

std::vector<at::Tensor> ExampleOf(const DataShape& shape, int64_t samples) {
  at::Generator generator = at::detail::createCPUGenerator();
  const auto sizes = [&](const std::vector<int64_t>& input) {
    std::vector<int64_t> all = {samples};
    all.insert(all.end(), input.begin(), input.end());
    return all;
  };
  std::vector<at::Tensor> example = {
      shape.input.size() == 1 ? at::randint(shape.classes, sizes(shape.input), generator, at::kLong)
                              : at::randn(sizes(shape.input), generator)};
  for (const auto& more : shape.more_inputs) example.push_back(at::randn(sizes(more), generator));
  return example;
}

}  // namespace sluice
