#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/zoo/network.h"

namespace sluice::graph {

/// All names of the zoo.
std::vector<std::string> ZooNames();

/// A small variant in training mode, for images of 16 x 16 or 8 tokens.
std::shared_ptr<Network> SmallNetwork(const std::string& name);
std::vector<at::Tensor> InputsOf(const std::string& name, int64_t samples);

/// Modules of tests/models/torchscript that can be run, Frozen and Pair among them.
std::vector<std::string> ScriptNames();
std::string ScriptPath(const std::string& name);
std::vector<at::Tensor> ScriptInputsOf(const std::string& name, int64_t samples);
torch::jit::Module LoadScript(const std::string& name);
/// forward with the inputs as it takes them. \return the tensors of its result
std::vector<at::Tensor> RunScript(torch::jit::Module module, const std::vector<at::Tensor>& inputs);

/// Draws values of batch norm's running statistics: as if it had been trained.
void DrawStatistics(torch::nn::Module& network);

}  // namespace sluice::graph
