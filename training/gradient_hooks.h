#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <vector>

#include "training/trainer.h"

namespace sluice {

/// Moves each parameter's gradient into the sink's storage as soon as backward has computed it, and
/// calls sink.Ready(i) then. Afterwards the parameter's gradient is a view of that storage.
///
///     Release()       no parameter has a gradient: backward keeps the tensors that it computes
///     backward()      per parameter: copy to the storage, drop the tensor, view the storage, Ready
///     reduce, step    on the storage
///
/// So a gradient costs one copy; adding to a zeroed one would pass over memory twice more.
/// \threadsafety made and used by the thread that calls backward(), on which Ready is called
class GradientHooks {
 public:
  /// \pre sink.gradient(i) has as many elements as parameters[i], fp32 and contiguous
  /// \param sink  must outlive the last backward()
  GradientHooks(const std::vector<at::Tensor>& parameters, GradientSink& sink);

  /// Before every backward.
  void Release();
  /// Every parameter's gradient is a view of the storage, also of those that backward has not reached.
  void View();

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> storages_;
  // The graph holds accumulators weakly: without these the hooks would silently never fire.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
};

}  // namespace sluice
