#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/symbol.h>
#include <torch/csrc/jit/ir/ir.h>

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph/graph.h"
#include "models/graph/groups.h"

namespace sluice::graph {

/// An integer that may follow the batch: factor * (samples in the batch) + offset.
struct Extent {
  int64_t factor = 0;
  int64_t offset = 0;

  int64_t At(int64_t samples) const { return factor * samples + offset; }
  bool operator==(const Extent& other) const {
    return factor == other.factor && offset == other.offset;
  }
};

/// An argument of a Step. Ids are those of Graph::values; -1 in a list is None. What only training makes has ids behind
/// them.
struct Argument {
  struct Tensors {
    std::vector<ValueId> ids;
    bool optional = false;  ///< a list of Tensor?
  };
  struct Numbers {
    std::vector<Extent> extents;
    bool list = false;
  };
  /// A flag that is `train` in training mode and `evaluate` in evaluation mode.
  struct Mode {
    bool train = true;
    bool evaluate = false;
  };
  std::variant<c10::IValue, ValueId, Tensors, Numbers, Mode> of;
};

/// A call of one of LibTorch's operators.
struct Step {
  c10::Symbol kind;
  std::vector<Argument> arguments;  // in the order of Node::operands
  std::vector<ValueId> outputs;
  bool returns_list = false;
  int32_t node =
      -1;  // in Graph::nodes; -1 = runs in training mode alone, such as what counts batches
};

/// A parameter, buffer or constant.
struct State {
  std::string name;                  // dots between modules
  std::vector<std::string> aliases;  // other names of the same tensor: tied weights
  at::Tensor tensor;
  bool trainable = false;
  bool parameter = false;
};

/// A forward as a sequence of operators: what a Graph was made from, and what can be run and saved. Plain values; copies
/// share the tensors.
struct Program {
  int32_t inputs = 0;         // tensors; ids 0 ...
  std::vector<State> states;  // ids follow those of the inputs
  std::vector<Step> steps;
  std::vector<ValueId> outputs;
  int32_t values = 0;   // ids that are in use
  int64_t samples = 0;  // of the example
  int32_t batched = 0;  // this input's dimension 0 is the batch

  ValueId IdOfState(size_t state) const { return inputs + static_cast<ValueId>(state); }
};

/// The program as a jit graph. Its inputs are the program's, the states in their order, and a bool: whether it trains.
/// It gives a tensor, or a tuple if there are several outputs. Throws as torch does.
/// \param in_doubles  types that are named in it are fp64 where they were fp32
std::shared_ptr<torch::jit::Graph> EmitGraph(const Program& program, bool in_doubles = false);

/// The smaller program that `cut` leaves. Tensors that shrink are copies, others are shared.
/// \error kInvalidArgument  a slice of what is not there, a constant that is no integer, or one that follows the batch
///                          and could not do so with its new value; as LeaveOut
absl::StatusOr<Program> ApplyCut(const Program& program, const Cut& cut);

}  // namespace sluice::graph
