#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/graph/graph.h"
#include "models/graph/groups.h"

namespace sluice::graph {

/// A tensor of doubles in row-major order.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> data;
};
using Tensors = std::map<std::string, Tensor>;

/// Computes a graph by plain loops, for the operators that tests need. "test::mystery" gives its first tensor.
/// An operator that it does not know ends the process.
std::vector<Tensor> Run(const Graph& graph, const Tensors& states,
                        const std::vector<Tensor>& inputs);

/// Makes graphs by hand. Batches of the example are 2, of the other one 3: inputs' first dimension.
class GraphBuilder {
 public:
  ValueId Input(std::vector<int64_t> sample);  ///< shape without the batch
  ValueId Parameter(const std::string& name, std::vector<int64_t> shape);
  ValueId Buffer(const std::string& name, std::vector<int64_t> shape);
  ValueId Op(const std::string& op, std::vector<Operand> operands);
  std::vector<ValueId> Ops(const std::string& op, std::vector<Operand> operands, size_t outputs);

  /// Layers with parameters NAME.weight, NAME.bias, ...
  ValueId Linear(const std::string& name, ValueId x, int64_t in, int64_t out);
  ValueId Conv(const std::string& name, ValueId x, int64_t in, int64_t out, int64_t kernel,
               int64_t groups = 1);
  ValueId BatchNorm(const std::string& name, ValueId x, int64_t channels);
  ValueId LayerNorm(const std::string& name, ValueId x, int64_t width);
  ValueId Relu(ValueId x) { return Op("aten::relu", {{x}}); }
  ValueId Add(ValueId x, ValueId y) { return Op("aten::add", {{x}, {y}, {int64_t{1}}}); }
  ValueId Mul(ValueId x, ValueId y) { return Op("aten::mul", {{x}, {y}}); }
  ValueId Cat(std::vector<ValueId> list, int64_t dim) {
    return Op("aten::cat", {{std::move(list)}, {dim}});
  }
  ValueId View(ValueId x, std::vector<int64_t> sizes) {
    return Op("aten::view", {{x}, {std::move(sizes)}});
  }
  ValueId Permute(ValueId x, std::vector<int64_t> order) {
    return Op("aten::permute", {{x}, {std::move(order)}});
  }
  ValueId Transpose(ValueId x, int64_t a, int64_t b) {
    return Op("aten::transpose", {{x}, {a}, {b}});
  }
  ValueId Matmul(ValueId x, ValueId y) { return Op("aten::matmul", {{x}, {y}}); }
  ValueId Softmax(ValueId x) { return Op("aten::softmax", {{x}, {int64_t{-1}}, {}}); }

  /// The graph with shapes, as computing it shows them.
  Graph Build(std::vector<ValueId> outputs);

 private:
  ValueId AddValue(Value value);

  Graph graph_;
};

/// The graph with the shapes that it has with these states.
Graph WithShapes(Graph graph, const Tensors& states);
/// Values for all parameters and buffers; variances are above 0.
Tensors RandomStates(const Graph& graph, uint64_t seed);
std::vector<Tensor> RandomInputs(const Graph& graph, uint64_t seed, bool other_batch);

/// With the slices at zero.
Tensors Masked(Tensors states, const std::vector<Slice>& slices);
/// What the cut makes of a graph and its states.
void ApplyCut(const Cut& cut, Graph* graph, Tensors* states);

/// The greatest difference of any elements; infinity if shapes differ.
double Distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b);

}  // namespace sluice::graph
