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
///     Release()               no parameter has a gradient: backward keeps the tensors that it computes
///     backward(), held back   gradients add up in these tensors; any number of times, also none
///     backward()              per parameter: copy to the storage, drop the tensor, view the storage, Ready
///     Complete()              parameters that this backward did not reach
///     reduce, step            on the storage
///
/// So a gradient costs one copy; adding to a zeroed one would pass over memory twice more.
/// \threadsafety made and used by the thread that calls backward(), on which Ready is called
class GradientHooks {
 public:
  /// \pre sink.gradient(i) has as many elements as parameters[i], fp32 and contiguous
  /// \param sink  must outlive the last backward()
  GradientHooks(const std::vector<at::Tensor>& parameters, GradientSink& sink);
  GradientHooks(const GradientHooks&) = delete;  // nodes of the graph point here
  GradientHooks& operator=(const GradientHooks&) = delete;

  /// Before the first backward of a step.
  void Release();
  /// Every parameter's gradient is a view of the storage, also of those that backward has not reached.
  void View();

  /// Whether the gradients of the next backward are not final yet. Not so at first.
  void HoldBack(bool held) { held_ = held; }

  /// After the last backward: hands over what a backward held back gave alone, and zeros for parameters that were
  /// not used at all, so that every rank steps all that are trained. Those that are not trained (requires_grad off)
  /// hand over zeros too, and keep no gradient: optimisers pass over them.
  void Complete();

  /// In place of a backward that hands over: copies `value` to the storage of `index`, and so on.
  void HandOver(int index, const at::Tensor& value);

 private:
  std::vector<at::Tensor> parameters_;
  // A graph that outlives us keeps our hooks: they do nothing then.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  GradientSink& sink_;
  bool held_ = false;
  std::vector<at::Tensor> storage_;  // the sink's, by parameter
  std::vector<bool> handed_over_;    // since Release, by parameter
  // The graph holds accumulators weakly: without these the hooks would silently never fire.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
};

}  // namespace sluice
