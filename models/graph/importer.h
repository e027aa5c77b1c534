#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/imported.h"
#include "models/zoo/network.h"

namespace sluice::graph {

/// Runs forward under LibTorch's tracer: in evaluation mode with two batches, of which the second has one sample more,
/// and in training mode. Numbers that differ between the batches follow the batch, flags that differ between the modes
/// follow the mode, and steps of training alone (counting batches) are kept as such. Control flow is what it was for
/// these inputs. Parameters, buffers and torch's default generator are as before when it returns. Not thread-safe: no
/// other thread may run `network` meanwhile.
///
/// Values of the graph have the networks' own names of parameters and buffers; tensors that have none are "constant0",
/// ... Shapes are those of `example`, others (Value::other_shape) are with one sample more.
/// \param example  forward's inputs; dimension 0 is the batch wherever it is as long as that of the first one
/// \error kInvalidArgument  no example; a forward that fails with it or does not trace, that does other things with other
///                          values, changes state while it evaluates, or changes in place what is read elsewhere
absl::StatusOr<Imported> ImportNetwork(Network& network, const std::vector<at::Tensor>& example);

/// The same of a TorchScript module, scripted or traced. Arguments are as TorchScriptNetwork gives them: one each, or one
/// tuple or list. Tied tensors become one tensor of `module`. The weights of a frozen module, which are constants, become
/// parameters that are named by operator and position, e.g. "convolution0.weight".
/// \error as ImportNetwork
absl::StatusOr<Imported> ImportScript(torch::jit::Module module,
                                      const std::vector<at::Tensor>& example);

/// A network as it is now, weights included; a TorchScript network from what it would be saved as.
/// \error as ImportNetwork
absl::StatusOr<Imported> ImportAsSaved(Network& network, const std::vector<at::Tensor>& example);

/// \error kNotFound  no such file  \error kDataLoss  it is no TorchScript  \error as ImportNetwork
absl::StatusOr<Imported> ImportScriptFile(const std::string& path,
                                          const std::vector<at::Tensor>& example);

}  // namespace sluice::graph
