#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "models/graph/source.h"

namespace sluice::graph {

/// A TorchScript module as a Source, in the mode that it had again when this ends. Its tied tensors become one tensor.
/// Attributes that forward assigns are changed in place instead.
class ScriptSource {
 public:
  /// \pre the module has a forward
  explicit ScriptSource(torch::jit::Module module);
  ~ScriptSource();
  ScriptSource(const ScriptSource&) = delete;
  ScriptSource& operator=(const ScriptSource&) = delete;

  const Source& source() const { return source_; }
  /// Of the last forward. \error kInvalidArgument  it returned something else than tensors
  const absl::Status& result() const { return result_; }

 private:
  struct Slot {
    c10::intrusive_ptr<c10::ivalue::Object> object;
    size_t number;
    at::Tensor tensor;
  };
  struct Mode {
    c10::intrusive_ptr<c10::ivalue::Object> object;
    size_t number;
    bool before;
  };

  void Collect(const torch::jit::Module& module, const std::string& prefix, StateList& states);
  std::vector<at::Tensor> Forward(const std::vector<at::Tensor>& inputs);

  torch::jit::Module module_;
  Source source_;
  std::vector<Slot> slots_;
  std::vector<Mode> modes_;
  absl::Status result_;
};

}  // namespace sluice::graph
