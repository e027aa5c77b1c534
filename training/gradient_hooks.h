#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <vector>

#include "training/trainer.h"

namespace sluice {

/// Makes each parameter's gradient a view of the sink's storage, and calls sink.Ready(i) as soon as
/// backward has added the gradient of parameter i.
///
/// Backward adds in place as long as the view stays: never call zero_grad() on these parameters.
/// \threadsafety made and destroyed by the thread that calls backward(), on which Ready is called
class GradientHooks {
 public:
  /// \pre sink.gradient(i) has as many elements as parameters[i], fp32 and contiguous
  /// \param sink  must outlive the last backward()
  GradientHooks(const std::vector<at::Tensor>& parameters, GradientSink& sink);

 private:
  // The graph holds accumulators weakly: without these the hooks would silently never fire.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
};

}  // namespace sluice
