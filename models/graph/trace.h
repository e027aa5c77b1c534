#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/symbol.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::graph {

/// An operator that ran under the tracer.
struct TracedCall {
  struct Argument {
    struct Ids {
      std::vector<int32_t> ids;  // -1 = None
      bool optional = false;     // Tensor?[]
    };
    struct Integers {
      std::vector<int64_t> values;
      bool list = false;
    };
    std::string name;  // in the operator's schema
    std::variant<c10::IValue, int32_t, Ids, Integers> of;
  };

  c10::Symbol kind;
  std::vector<Argument> arguments;
  std::vector<int32_t> outputs;
  bool returns_list = false;
};

/// What a function did, in order. Tensors have ids: first the inputs, then others as they appear, so that two runs of
/// the same operators have the same ids.
struct Trace {
  std::vector<TracedCall> calls;
  std::vector<std::vector<int64_t>> shapes;  // by id
  std::map<int32_t, at::Tensor>
      constants;  // by id: tensors that are neither inputs nor made by a call
  std::vector<int32_t> outputs;
};

using TracedFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Runs `function` on `inputs` under LibTorch's tracer. `state` are tensors that it reads, or changes in place, without
/// being given them; they are inputs too, behind the others. Throws what it throws.
/// \error kInvalidArgument  an operator that gives something else than tensors
absl::StatusOr<Trace> TraceFunction(const TracedFunction& function,
                                    const std::vector<at::Tensor>& inputs,
                                    const std::vector<at::Tensor>& state);

/// Whether it changes its first argument: relu_, add_.
bool IsInPlace(const TracedCall& call);

/// \error kInvalidArgument  a call that changes a tensor in place of which another view is read later: the order of
///                          operators alone would not tell what that view then holds
absl::Status CheckInPlaceCalls(const Trace& trace);

}  // namespace sluice::graph
