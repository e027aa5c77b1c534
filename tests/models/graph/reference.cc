#include "tests/models/graph/reference.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

using Shape = std::vector<int64_t>;

constexpr int64_t kBatch = 2, kOtherBatch = 3;

int64_t Elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

Tensor Zeros(Shape shape) {
  const auto elements = static_cast<size_t>(Elements(shape));
  return {std::move(shape), std::vector<double>(elements, 0.0)};
}

/// The indices of the element at `offset`.
Shape IndicesOf(const Shape& shape, int64_t offset) {
  Shape indices(shape.size());
  for (size_t dim = shape.size(); dim > 0; --dim) {
    indices[dim - 1] = offset % shape[dim - 1];
    offset /= shape[dim - 1];
  }
  return indices;
}

/// The offset of the element, aligned right and broadcast.
int64_t OffsetOf(const Shape& shape, const Shape& indices) {
  int64_t offset = 0;
  const size_t more = indices.size() - shape.size();
  for (size_t dim = 0; dim < shape.size(); ++dim) {
    offset = offset * shape[dim] + (shape[dim] == 1 ? 0 : indices[dim + more]);
  }
  return offset;
}

double& At(Tensor& tensor, const Shape& indices) {
  return tensor.data[static_cast<size_t>(OffsetOf(tensor.shape, indices))];
}
double At(const Tensor& tensor, const Shape& indices) {
  return tensor.data[static_cast<size_t>(OffsetOf(tensor.shape, indices))];
}

/// A tensor of which each element is f(its indices).
Tensor Make(Shape shape, const std::function<double(const Shape&)>& f) {
  Tensor made = Zeros(std::move(shape));
  for (size_t i = 0; i < made.data.size(); ++i) {
    made.data[i] = f(IndicesOf(made.shape, static_cast<int64_t>(i)));
  }
  return made;
}

Tensor Map(const Tensor& x, const std::function<double(double)>& f) {
  Tensor mapped = x;
  for (double& element : mapped.data) element = f(element);
  return mapped;
}

Tensor Zip(const Tensor& x, const Tensor& y, const std::function<double(double, double)>& f) {
  Shape shape(std::max(x.shape.size(), y.shape.size()), 1);
  for (const Tensor* tensor : {&x, &y}) {
    const size_t more = shape.size() - tensor->shape.size();
    for (size_t dim = 0; dim < tensor->shape.size(); ++dim) {
      shape[dim + more] = std::max(shape[dim + more], tensor->shape[dim]);
    }
  }
  return Make(shape, [&](const Shape& at) { return f(At(x, at), At(y, at)); });
}

/// A literal size of the example's batch stands for the batch of `x`.
Tensor Reshaped(Tensor x, Shape sizes) {
  if (!sizes.empty() && sizes[0] == kBatch) sizes[0] = x.shape[0];
  for (int64_t& size : sizes) {
    if (size == -1) size = Elements(x.shape) / -Elements(sizes);
  }
  SLUICE_CHECK(Elements(sizes) == Elements(x.shape), "sizes of a reshape");
  x.shape = std::move(sizes);
  return x;
}

Tensor Permuted(const Tensor& x, const Shape& order) {
  Shape shape;
  for (int64_t dim : order) shape.push_back(x.shape[static_cast<size_t>(dim)]);
  return Make(shape, [&](const Shape& at) {
    Shape from(at.size());
    for (size_t dim = 0; dim < at.size(); ++dim) from[static_cast<size_t>(order[dim])] = at[dim];
    return At(x, from);
  });
}

Tensor Narrowed(const Tensor& x, size_t dim, int64_t start, int64_t length) {
  Shape shape = x.shape;
  shape[dim] = length;
  return Make(shape, [&](Shape at) {
    at[dim] += start;
    return At(x, at);
  });
}

Tensor Product(const Tensor& x, const Tensor& y) {
  const int64_t inner = x.shape.back();
  SLUICE_CHECK(y.shape[y.shape.size() - 2] == inner, "extents of a product");
  Shape shape(std::max(x.shape.size(), y.shape.size()), 1);
  for (const Tensor* tensor : {&x, &y}) {
    const size_t more = shape.size() - tensor->shape.size();
    for (size_t dim = 0; dim + 2 < tensor->shape.size(); ++dim) {
      shape[dim + more] = std::max(shape[dim + more], tensor->shape[dim]);
    }
  }
  shape[shape.size() - 2] = x.shape[x.shape.size() - 2];
  shape.back() = y.shape.back();
  return Make(shape, [&](const Shape& at) {
    Shape left = at, right = at;
    double sum = 0;
    for (int64_t i = 0; i < inner; ++i) {
      left.back() = i;
      right[right.size() - 2] = i;
      sum += At(x, left) * At(y, right);
    }
    return sum;
  });
}

/// Stride 1, padding that keeps the size.
Tensor Convolution(const Tensor& x, const Tensor& weight, int64_t groups) {
  const int64_t out = weight.shape[0], in = weight.shape[1], kernel = weight.shape[2];
  SLUICE_CHECK(x.shape[1] == in * groups && out % groups == 0, "channels of a convolution");
  return Make({x.shape[0], out, x.shape[2], x.shape[3]}, [&](const Shape& at) {
    double sum = 0;
    for (int64_t channel = 0; channel < in; ++channel) {
      for (int64_t row = 0; row < kernel; ++row) {
        for (int64_t column = 0; column < kernel; ++column) {
          const int64_t y = at[2] + row - kernel / 2, z = at[3] + column - kernel / 2;
          if (y < 0 || z < 0 || y >= x.shape[2] || z >= x.shape[3]) continue;
          sum += At(x, {at[0], at[1] / (out / groups) * in + channel, y, z}) *
                 At(weight, {at[1], channel, row, column});
        }
      }
    }
    return sum;
  });
}

/// The weight is [in, out / groups, 1, 1].
Tensor PointwiseTransposed(const Tensor& x, const Tensor& weight, int64_t groups) {
  const int64_t in = weight.shape[0] / groups, out = weight.shape[1];
  SLUICE_CHECK(x.shape[1] == weight.shape[0] && weight.shape[2] == 1, "channels of a convolution");
  return Make({x.shape[0], out * groups, x.shape[2], x.shape[3]}, [&](const Shape& at) {
    double sum = 0;
    for (int64_t channel = at[1] / out * in; channel < (at[1] / out + 1) * in; ++channel) {
      sum += At(x, {at[0], channel, at[2], at[3]}) * At(weight, {channel, at[1] % out, 0, 0});
    }
    return sum;
  });
}

Tensor PerChannel(const Tensor& x, const Tensor& of, size_t dim,
                  const std::function<double(double, double)>& f) {
  SLUICE_CHECK(of.shape[0] == x.shape[dim], "channels");
  return Make(x.shape,
              [&](const Shape& at) { return f(At(x, at), of.data[static_cast<size_t>(at[dim])]); });
}

/// Along the last dimension.
Tensor Normalised(const Tensor& x) {
  Tensor y = x;
  const auto width = static_cast<size_t>(x.shape.back());
  for (size_t row = 0; row < y.data.size(); row += width) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < width; ++i) mean += y.data[row + i] / static_cast<double>(width);
    for (size_t i = 0; i < width; ++i) {
      square += (y.data[row + i] - mean) * (y.data[row + i] - mean) / static_cast<double>(width);
    }
    for (size_t i = 0; i < width; ++i) {
      y.data[row + i] = (y.data[row + i] - mean) / std::sqrt(square + 1e-5);
    }
  }
  return y;
}

Tensor Softmax(const Tensor& x) {
  Tensor y = Map(x, [](double v) { return std::exp(v); });
  const auto width = static_cast<size_t>(x.shape.back());
  for (size_t row = 0; row < y.data.size(); row += width) {
    const double sum =
        std::accumulate(y.data.begin() + static_cast<std::ptrdiff_t>(row),
                        y.data.begin() + static_cast<std::ptrdiff_t>(row + width), 0.0);
    for (size_t i = 0; i < width; ++i) y.data[row + i] /= sum;
  }
  return y;
}

/// Computes one node after the other.
class Interpreter {
 public:
  Interpreter(const Graph& graph, const Tensors& states, const std::vector<Tensor>& inputs)
      : graph_(graph), values_(graph.values.size()) {
    for (size_t id = 0; id < graph.values.size(); ++id) {
      if (!graph.values[id].state.empty()) values_[id] = states.at(graph.values[id].state);
    }
    for (size_t i = 0; i < inputs.size(); ++i) values_[graph.inputs[i]] = inputs[i];
  }

  std::vector<Tensor> Run() {
    for (const Node& node : graph_.nodes) {
      std::vector<Tensor> outputs = Compute(node);
      for (size_t i = 0; i < outputs.size(); ++i) values_[node.outputs[i]] = std::move(outputs[i]);
    }
    return values_;
  }

 private:
  const Tensor& In(const Node& node, size_t i) const { return values_[TensorAt(node, i)]; }
  bool Has(const Node& node, size_t i) const { return TensorAt(node, i) >= 0; }
  static size_t Dim(const Node& node, size_t i, size_t rank) {
    const int64_t dim = *IntAt(node, i);
    return static_cast<size_t>(dim < 0 ? dim + static_cast<int64_t>(rank) : dim);
  }

  Tensor Biased(Tensor x, const Node& node, size_t bias, size_t dim) const {
    return Has(node, bias) ? PerChannel(x, In(node, bias), dim, std::plus<>()) : x;
  }

  Tensor Binary(const Node& node, const std::function<double(double, double)>& f) const {
    if (Has(node, 1)) return Zip(In(node, 0), In(node, 1), f);
    const double number = *NumberAt(node, 1);
    return Map(In(node, 0), [&](double v) { return f(v, number); });
  }

  std::vector<Tensor> Parts(const Node& node) const {
    const Tensor& x = In(node, 0);
    const size_t dim = Dim(node, 2, x.shape.size());
    std::vector<Tensor> parts;
    int64_t start = 0;
    for (size_t part = 0; part < node.outputs.size(); ++part) {
      int64_t length = 0;
      if (node.op == "aten::chunk") {
        length = (x.shape[dim] + *IntAt(node, 1) - 1) / *IntAt(node, 1);
      } else {
        length = IntsAt(node, 1) ? (*IntsAt(node, 1))[part] : *IntAt(node, 1);
      }
      length = std::min(length, x.shape[dim] - start);
      parts.push_back(Narrowed(x, dim, start, length));
      start += length;
    }
    SLUICE_CHECK(start == x.shape[dim], "parts of a split");
    return parts;
  }

  Tensor Concatenated(const Node& node) const {
    std::vector<Tensor> list;
    for (ValueId id : TensorsOf(node)) list.push_back(values_[id]);
    const size_t dim = Dim(node, 1, list[0].shape.size());
    Shape shape = list[0].shape;
    shape[dim] = 0;
    for (const Tensor& tensor : list) shape[dim] += tensor.shape[dim];
    return Make(shape, [&](Shape at) {
      size_t member = 0;
      while (at[dim] >= list[member].shape[dim]) at[dim] -= list[member++].shape[dim];
      return At(list[member], at);
    });
  }

  Tensor Mean(const Node& node, bool divide) const {
    const Tensor& x = In(node, 0);
    Shape kept = x.shape, dropped;
    const Shape dims = *IntsAt(node, 1);
    double count = 1;
    for (int64_t dim : dims) {
      count *= static_cast<double>(x.shape[static_cast<size_t>(dim)]);
      kept[static_cast<size_t>(dim)] = 1;
    }
    Tensor sums = Zeros(kept);
    for (size_t i = 0; i < x.data.size(); ++i) {
      At(sums, IndicesOf(x.shape, static_cast<int64_t>(i))) += x.data[i] / (divide ? count : 1);
    }
    if (NumberAt(node, 2).value_or(0) == 0) {
      for (size_t dim = 0; dim < kept.size(); ++dim) {
        if (std::find(dims.begin(), dims.end(), static_cast<int64_t>(dim)) == dims.end()) {
          dropped.push_back(kept[dim]);
        }
      }
      sums.shape = dropped;
    }
    return sums;
  }

  Tensor GroupNorm(const Node& node) const {
    const Tensor& x = In(node, 0);
    const int64_t groups = *IntAt(node, 1);
    SLUICE_CHECK(x.shape[1] % groups == 0, "groups of a norm");
    Tensor y = Normalised(Reshaped(x, {x.shape[0], groups, -1}));
    y.shape = x.shape;
    return PerChannel(PerChannel(y, In(node, 2), 1, std::multiplies<>()), In(node, 3), 1,
                      std::plus<>());
  }

  Tensor BatchNorm(const Node& node) const {
    Tensor y = PerChannel(In(node, 0), In(node, 3), 1, std::minus<>());
    y = PerChannel(y, In(node, 4), 1, [](double v, double var) { return v / std::sqrt(var); });
    if (Has(node, 1)) y = PerChannel(y, In(node, 1), 1, std::multiplies<>());
    return Biased(y, node, 2, 1);
  }

  Tensor MaxPool(const Node& node) const {
    const Tensor& x = In(node, 0);
    return Make({x.shape[0], x.shape[1], x.shape[2] / 2, x.shape[3] / 2}, [&](const Shape& at) {
      double most = -std::numeric_limits<double>::infinity();
      for (int64_t i = 0; i < 4; ++i) {
        most = std::max(most, At(x, {at[0], at[1], 2 * at[2] + i / 2, 2 * at[3] + i % 2}));
      }
      return most;
    });
  }

  Tensor PixelShuffle(const Node& node) const {
    const Tensor& x = In(node, 0);
    const int64_t r = *IntAt(node, 1);
    return Make(
        {x.shape[0], x.shape[1] / (r * r), x.shape[2] * r, x.shape[3] * r}, [&](const Shape& at) {
          return At(x, {at[0], (at[1] * r + at[2] % r) * r + at[3] % r, at[2] / r, at[3] / r});
        });
  }

  Tensor Sliced(const Node& node) const {
    const Tensor& x = In(node, 0);
    const size_t dim = Dim(node, 1, x.shape.size());
    const auto bound = [&](size_t i, int64_t fallback) {
      const int64_t at = IntAt(node, i).value_or(fallback);
      return std::clamp<int64_t>(at < 0 ? at + x.shape[dim] : at, 0, x.shape[dim]);
    };
    const int64_t start = bound(2, 0);
    return Narrowed(x, dim, start, bound(3, x.shape[dim]) - start);
  }

  Tensor Selected(const Node& node) const {
    const Tensor& x = In(node, 0);
    const size_t dim = Dim(node, 1, x.shape.size());
    Tensor one = Narrowed(x, dim, *IntAt(node, 2), 1);
    one.shape.erase(one.shape.begin() + static_cast<std::ptrdiff_t>(dim));
    return one;
  }

  Tensor Expanded(const Node& node) const {
    const Tensor& x = In(node, 0);
    Shape shape = *IntsAt(node, 1);
    if (shape[0] == kBatch) shape[0] = values_[graph_.inputs[0]].shape[0];
    const size_t more = shape.size() - x.shape.size();
    for (size_t dim = more; dim < shape.size(); ++dim) {
      if (shape[dim] == -1) shape[dim] = x.shape[dim - more];
    }
    return Make(shape, [&](const Shape& at) { return At(x, at); });
  }

  std::vector<Tensor> Compute(const Node& node) const {
    const std::string& op = node.op;
    if (op == "aten::chunk" || op == "aten::split" || op == "aten::split_with_sizes") {
      return Parts(node);
    }
    return {One(node)};
  }

  Tensor One(const Node& node) const {
    const std::string& op = node.op;
    if (op == "aten::cat") return Concatenated(node);
    const Tensor& x = In(node, 0);
    const size_t rank = x.shape.size();
    if (op == "test::mystery" || op == "aten::contiguous" || op == "aten::dropout") return x;
    if (op == "aten::linear") {
      return Biased(Product(x, Permuted(In(node, 1), {1, 0})), node, 2, rank - 1);
    }
    if (op == "aten::addmm") {
      return Zip(Product(In(node, 1), In(node, 2)), x, std::plus<>());
    }
    if (op == "aten::matmul" || op == "aten::bmm") return Product(x, In(node, 1));
    if (op == "aten::conv2d")
      return Biased(Convolution(x, In(node, 1), *IntAt(node, 6)), node, 2, 1);
    if (op == "aten::_convolution") {
      return Biased(Convolution(x, In(node, 1), *IntAt(node, 8)), node, 2, 1);
    }
    if (op == "aten::conv_transpose2d") {
      return Biased(PointwiseTransposed(x, In(node, 1), *IntAt(node, 6)), node, 2, 1);
    }
    if (op == "aten::batch_norm") return BatchNorm(node);
    if (op == "aten::group_norm") return GroupNorm(node);
    if (op == "aten::layer_norm") {
      return Zip(Zip(Normalised(x), In(node, 2), std::multiplies<>()), In(node, 3), std::plus<>());
    }
    if (op == "aten::relu") return Map(x, [](double v) { return std::max(v, 0.0); });
    if (op == "aten::hardtanh") {
      const double low = *NumberAt(node, 1), high = *NumberAt(node, 2);
      return Map(x, [&](double v) { return std::clamp(v, low, high); });
    }
    if (op == "aten::sigmoid") return Map(x, [](double v) { return 1 / (1 + std::exp(-v)); });
    if (op == "aten::tanh") return Map(x, [](double v) { return std::tanh(v); });
    if (op == "aten::softmax") return Softmax(x);
    if (op == "aten::add") return Binary(node, std::plus<>());
    if (op == "aten::mul") return Binary(node, std::multiplies<>());
    if (op == "aten::pow") {
      return Binary(node, [](double v, double e) { return std::pow(v, e); });
    }
    if (op == "aten::div") return Binary(node, std::divides<>());
    if (op == "aten::view" || op == "aten::reshape") return Reshaped(x, *IntsAt(node, 1));
    if (op == "aten::flatten") {
      Shape shape(x.shape.begin(), x.shape.begin() + *IntAt(node, 1));
      shape.push_back(-1);
      return Reshaped(x, shape);
    }
    if (op == "aten::unsqueeze") {
      Shape shape = x.shape;
      shape.insert(shape.begin() + *IntAt(node, 1), 1);
      return Reshaped(x, shape);
    }
    if (op == "aten::permute") return Permuted(x, *IntsAt(node, 1));
    if (op == "aten::t") return Permuted(x, {1, 0});
    if (op == "aten::transpose") {
      Shape order(rank);
      std::iota(order.begin(), order.end(), 0);
      std::swap(order[Dim(node, 1, rank)], order[Dim(node, 2, rank)]);
      return Permuted(x, order);
    }
    if (op == "aten::mean") return Mean(node, true);
    if (op == "aten::sum") return Mean(node, false);
    if (op == "aten::max_pool2d") return MaxPool(node);
    if (op == "aten::slice") return Sliced(node);
    if (op == "aten::narrow") {
      return Narrowed(x, Dim(node, 1, rank), *IntAt(node, 2), *IntAt(node, 3));
    }
    if (op == "aten::repeat") {
      Shape shape = *IntsAt(node, 1), sizes = x.shape;
      sizes.insert(sizes.begin(), shape.size() - rank, 1);
      for (size_t dim = 0; dim < shape.size(); ++dim) shape[dim] *= sizes[dim];
      return Make(shape, [&](Shape at) {
        for (size_t dim = 0; dim < at.size(); ++dim) at[dim] %= sizes[dim];
        return At(x, at);
      });
    }
    if (op == "aten::select") return Selected(node);
    if (op == "aten::expand") return Expanded(node);
    if (op == "aten::pixel_shuffle") return PixelShuffle(node);
    if (op == "aten::glu") {
      const size_t dim = Dim(node, 1, rank);
      const int64_t half = x.shape[dim] / 2;
      return Zip(Narrowed(x, dim, 0, half), Narrowed(x, dim, half, half),
                 [](double a, double b) { return a / (1 + std::exp(-b)); });
    }
    if (op == "aten::prelu") {
      return PerChannel(x, In(node, 1), 1, [](double v, double s) { return v > 0 ? v : s * v; });
    }
    if (op == "aten::embedding") {
      Shape shape = In(node, 1).shape;
      shape.push_back(x.shape[1]);
      return Make(shape, [&](Shape at) {
        const int64_t column = at.back();
        at.pop_back();
        const auto row = static_cast<int64_t>(std::abs(At(In(node, 1), at)) * 7) % x.shape[0];
        return At(x, {row, column});
      });
    }
    SLUICE_CHECK(false, op.c_str());
    return x;
  }

  const Graph& graph_;
  std::vector<Tensor> values_;
};

Tensor Random(const Shape& shape, RandomKey key, bool positive) {
  Tensor tensor = Zeros(shape);
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    const double uniform = static_cast<double>(key.Bits(i) >> 11) * 0x1p-53;
    tensor.data[i] = positive ? 0.5 + uniform : 2 * uniform - 1;
  }
  return tensor;
}

void LeaveOut(const Cut& cut, Graph* graph) {
  std::vector<ValueId> instead(graph->values.size());
  std::iota(instead.begin(), instead.end(), 0);
  for (const auto& [id, other] : cut.instead) instead[id] = other;
  const auto is_gone = [&](int32_t node) {
    return std::binary_search(cut.gone.begin(), cut.gone.end(), node);
  };
  std::vector<Node> left;
  for (size_t index = 0; index < graph->nodes.size(); ++index) {
    if (is_gone(static_cast<int32_t>(index))) continue;
    Node node = graph->nodes[index];
    for (Operand& operand : node.operands) {
      if (auto* const id = std::get_if<ValueId>(&operand.of)) *id = instead[*id];
      auto* const list = std::get_if<std::vector<ValueId>>(&operand.of);
      if (list == nullptr) continue;
      std::vector<ValueId> others;
      for (ValueId id : *list) {
        const int32_t producer = graph->values[id].producer;
        if (instead[id] != id || producer < 0 || !is_gone(producer)) others.push_back(instead[id]);
      }
      *list = std::move(others);
    }
    left.push_back(std::move(node));
  }
  for (ValueId& id : graph->outputs) id = instead[id];
  graph->nodes = std::move(left);
}

}  // namespace

std::vector<Tensor> Compute(const Graph& graph, const Tensors& states,
                            const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> values = Interpreter(graph, states, inputs).Run();
  std::vector<Tensor> outputs;
  for (ValueId id : graph.outputs) outputs.push_back(values[id]);
  return outputs;
}

ValueId GraphBuilder::AddValue(Value value) {
  graph_.values.push_back(std::move(value));
  return static_cast<ValueId>(graph_.values.size() - 1);
}

ValueId GraphBuilder::Input(std::vector<int64_t> sample) {
  Value value;
  value.shape = sample;
  value.shape.insert(value.shape.begin(), kBatch);
  value.other_shape = value.shape;
  value.other_shape[0] = kOtherBatch;
  graph_.inputs.push_back(AddValue(std::move(value)));
  return graph_.inputs.back();
}

ValueId GraphBuilder::Parameter(const std::string& name, std::vector<int64_t> shape) {
  const ValueId id = Buffer(name, std::move(shape));
  graph_.values[id].trainable = true;
  return id;
}

ValueId GraphBuilder::Buffer(const std::string& name, std::vector<int64_t> shape) {
  Value value;
  value.other_shape = shape;
  value.shape = std::move(shape);
  value.state = name;
  return AddValue(std::move(value));
}

ValueId GraphBuilder::Op(const std::string& op, std::vector<Operand> operands) {
  return Ops(op, std::move(operands), 1)[0];
}

std::vector<ValueId> GraphBuilder::Ops(const std::string& op, std::vector<Operand> operands,
                                       size_t outputs) {
  Node node;
  node.op = op;
  node.operands = std::move(operands);
  node.place = "line " + std::to_string(graph_.nodes.size());
  for (size_t i = 0; i < outputs; ++i) {
    Value value;
    value.producer = static_cast<int32_t>(graph_.nodes.size());
    node.outputs.push_back(AddValue(std::move(value)));
  }
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().outputs;
}

ValueId GraphBuilder::Linear(const std::string& name, ValueId x, int64_t in, int64_t out) {
  const ValueId weight = Parameter(name + ".weight", {out, in});
  return Op("aten::linear", {{x}, {weight}, {Parameter(name + ".bias", {out})}});
}

ValueId GraphBuilder::Conv(const std::string& name, ValueId x, int64_t in, int64_t out,
                           int64_t kernel, int64_t groups) {
  const ValueId weight = Parameter(name + ".weight", {out, in / groups, kernel, kernel});
  const ValueId bias = Parameter(name + ".bias", {out});
  const std::vector<int64_t> ones = {1, 1}, padding = {kernel / 2, kernel / 2};
  return Op("aten::conv2d", {{x}, {weight}, {bias}, {ones}, {padding}, {ones}, {groups}});
}

ValueId GraphBuilder::BatchNorm(const std::string& name, ValueId x, int64_t channels) {
  const ValueId weight = Parameter(name + ".weight", {channels});
  const ValueId bias = Parameter(name + ".bias", {channels});
  const ValueId mean = Buffer(name + ".running_mean", {channels});
  const ValueId var = Buffer(name + ".running_var", {channels});
  return Op("aten::batch_norm",
            {{x}, {weight}, {bias}, {mean}, {var}, {false}, {0.1}, {1e-5}, {false}});
}

ValueId GraphBuilder::LayerNorm(const std::string& name, ValueId x, int64_t width) {
  const ValueId weight = Parameter(name + ".weight", {width});
  const ValueId bias = Parameter(name + ".bias", {width});
  return Op("aten::layer_norm",
            {{x}, {std::vector<int64_t>{width}}, {weight}, {bias}, {1e-5}, {false}});
}

Graph GraphBuilder::Build(std::vector<ValueId> outputs) {
  graph_.outputs = std::move(outputs);
  return WithShapes(graph_, RandomStates(graph_, 1));
}

Graph WithShapes(Graph graph, const Tensors& states) {
  for (bool other : {false, true}) {
    const std::vector<Tensor> values =
        Interpreter(graph, states, RandomInputs(graph, 1, other)).Run();
    for (size_t id = 0; id < values.size(); ++id) {
      (other ? graph.values[id].other_shape : graph.values[id].shape) = values[id].shape;
    }
  }
  return graph;
}

Tensors RandomStates(const Graph& graph, uint64_t seed) {
  Tensors states;
  for (const Value& value : graph.values) {
    if (value.state.empty()) continue;
    const bool variance = value.state.find("var") != std::string::npos;
    states[value.state] = Random(value.shape, RandomKey(seed).With(value.state), variance);
  }
  return states;
}

std::vector<Tensor> RandomInputs(const Graph& graph, uint64_t seed, bool other_batch) {
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs) {
    const Value& value = graph.values[id];
    inputs.push_back(Random(other_batch ? value.other_shape : value.shape,
                            RandomKey(seed).With("input").With(static_cast<uint64_t>(id)), false));
  }
  return inputs;
}

Tensors Masked(Tensors states, const std::vector<Slice>& slices) {
  for (const Slice& slice : slices) {
    Tensor& tensor = states.at(slice.state);
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      const int64_t index = IndicesOf(tensor.shape, static_cast<int64_t>(i))[slice.dim];
      if (std::binary_search(slice.indices.begin(), slice.indices.end(), index)) {
        tensor.data[i] = 0;
      }
    }
  }
  return states;
}

void ApplyCut(const Cut& cut, Graph* graph, Tensors* states) {
  for (const Slice& slice : cut.kept) {
    const auto dim = static_cast<size_t>(slice.dim);
    Tensor& tensor = states->at(slice.state);
    Shape shape = tensor.shape;
    shape[dim] = static_cast<int64_t>(slice.indices.size());
    tensor = Make(shape, [&, whole = tensor](Shape at) {
      at[dim] = slice.indices[static_cast<size_t>(at[dim])];
      return At(whole, at);
    });
  }
  for (const Cut::Constant& constant : cut.constants) {
    Operand& operand = graph->nodes[constant.node].operands[constant.operand];
    if (constant.element < 0) {
      operand.of = constant.value;
    } else {
      std::get<std::vector<int64_t>>(operand.of)[constant.element] = constant.value;
    }
  }
  LeaveOut(cut, graph);
}

double Distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double most = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].shape != b[i].shape) return std::numeric_limits<double>::infinity();
    for (size_t j = 0; j < a[i].data.size(); ++j) {
      const double distance = std::abs(a[i].data[j] - b[i].data[j]);
      if (std::isnan(distance)) return std::numeric_limits<double>::infinity();
      most = std::max(most, distance);
    }
  }
  return most;
}

}  // namespace sluice::graph
