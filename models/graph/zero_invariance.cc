#include "models/graph/zero_invariance.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

/// What the elements of one unit are while its parameters are zero.
enum class Label { kZero, kConstant, kAny };

/// One walk, for one atom.
class Walk {
 public:
  Walk(const Graph& graph, const AxisAnalysis& analysis,
       const std::vector<std::vector<AxisId>>& atoms, AxisId atom)
      : graph_(graph),
        analysis_(analysis),
        atoms_(atoms),
        atom_(atom),
        labels_(graph.values.size(), Label::kAny) {}

  std::optional<std::string> Run() {
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      if (graph_.values[id].producer < 0) {
        labels_[id] = OfState(static_cast<ValueId>(id));
      }
    }
    for (const Node& node : graph_.nodes) {
      const std::vector<ValueId> inputs = TensorsOf(node);
      const bool touches =
          std::any_of(inputs.begin(), inputs.end(), [this](ValueId id) { return Has(id); }) ||
          std::any_of(node.outputs.begin(), node.outputs.end(),
                      [this](ValueId id) { return Has(id); });
      if (!touches) continue;
      const Label label = After(node);
      for (ValueId id : node.outputs) labels_[id] = label;
      if (!breach_.empty()) return breach_;
    }
    return std::nullopt;
  }

 private:
  bool Has(ValueId id) const {
    return id >= 0 && std::binary_search(atoms_[id].begin(), atoms_[id].end(), atom_);
  }
  bool Has(ValueId id, size_t dim) const {
    return Has(id) && analysis_.table.Contains(analysis_.axes[id][dim], atom_);
  }
  size_t rank(ValueId id) const { return analysis_.axes[id].size(); }
  /// Values outside the unit may be anything.
  Label Of(ValueId id) const { return Has(id) ? labels_[id] : Label::kAny; }

  Label OfState(ValueId id) const {
    if (!Has(id) || !graph_.values[id].trainable) return Label::kAny;
    for (size_t dim = 0; dim < rank(id); ++dim) {
      const AxisUse& use = analysis_.uses[id][dim];
      if (Has(id, dim) && !use.makes && !use.scales) return Label::kAny;
    }
    return Label::kZero;
  }

  /// Whether the unit's slices of `id` along `dim` are zero.
  bool SliceIsZero(ValueId id, size_t dim) const {
    const AxisAnalysis::Origin& origin = analysis_.origins[id];
    if (origin.state < 0 || origin.dims[dim] < 0) return Of(id) == Label::kZero;
    const AxisUse& use = analysis_.uses[origin.state][static_cast<size_t>(origin.dims[dim])];
    return graph_.values[origin.state].trainable && (use.makes || use.scales);
  }
  bool LastSliceIsZeroOrAbsent(ValueId id) const {
    return id < 0 || (rank(id) > 0 && SliceIsZero(id, rank(id) - 1));
  }

  void Reads(const Node& node, bool zero) {
    if (!zero && breach_.empty()) {
      breach_ = absl::StrCat("with its parameters at zero it is not zero where ", NameOf(node),
                             " reads it");
    }
  }

  Label After(const Node& node) {
    const ValueId x = TensorAt(node, 0);
    const Operator& known = OperatorOf(node);
    if (known.axes == AxisRule::kSum && Has(x)) Reads(node, Of(x) == Label::kZero);
    switch (known.zeros) {
      case ZeroRule::kAny:
        return Label::kAny;
      case ZeroRule::kKeeps:
        return Of(x);
      case ZeroRule::kConstant:
        return std::max(Of(x), Label::kConstant);
      case ZeroRule::kAdd:
        return Sum(node, known.axes == AxisRule::kCat || known.axes == AxisRule::kStack);
      case ZeroRule::kMultiply:
        return Product(node);
      case ZeroRule::kDivide: {
        const ValueId by = TensorAt(node, 1);
        return by >= 0 && Of(by) == Label::kZero ? Label::kAny : Of(x);
      }
      case ZeroRule::kSelects:
        return std::max(Of(TensorAt(node, 1)), Of(TensorAt(node, 2)));
      case ZeroRule::kMaskedFill:
        return NumberAt(node, 2) == 0 ? Of(x) : Label::kAny;
      case ZeroRule::kClamp: {
        const bool keeps = NumberAt(node, 1).value_or(NoneAt(node, 1) ? 0 : 1) <= 0 &&
                           NumberAt(node, 2).value_or(NoneAt(node, 2) ? 0 : -1) >= 0;
        return keeps ? Of(x) : std::max(Of(x), Label::kConstant);
      }
      case ZeroRule::kPower:
        return x >= 0 && NumberAt(node, 1).value_or(0) > 0 ? Of(x) : Label::kAny;
      case ZeroRule::kPads:
        return NumberAt(node, 2).value_or(0) == 0 ? Of(x) : std::max(Of(x), Label::kConstant);
      case ZeroRule::kNormalises:
        return Norm(
            node, known.axes == AxisRule::kGroupNorm || known.axes == AxisRule::kLayerNorm ? 2 : 1);
      case ZeroRule::kWeights:
        return Weights(node, known.axes);
    }
    return Label::kAny;
  }

  Label Sum(const Node& node, bool concatenates) const {
    Label label = Label::kZero;
    for (ValueId id : TensorsOf(node)) {
      if (!concatenates || Has(id)) label = std::max(label, Of(id));
    }
    if (!concatenates && NumberAt(node, 1).value_or(0) != 0) {
      label = std::max(label, Label::kConstant);
    }
    return label;
  }

  Label Product(const Node& node) const {
    Label least = Label::kAny, most = Label::kZero;
    for (ValueId id : TensorsOf(node)) {
      least = std::min(least, Of(id));
      most = std::max(most, Of(id));
    }
    return least == Label::kZero ? Label::kZero : most;
  }

  Label Norm(const Node& node, size_t weight) const {
    const ValueId scale = TensorAt(node, weight), shift = TensorAt(node, weight + 1);
    const bool zero = Has(scale) && Has(shift) && SliceIsZero(scale, rank(scale) - 1) &&
                      SliceIsZero(shift, rank(shift) - 1);
    return zero ? Label::kZero : Label::kAny;
  }

  Label Weights(const Node& node, AxisRule rule) {
    switch (rule) {
      case AxisRule::kAddmm: {
        const ValueId bias = TensorAt(node, 0);
        const Label product = MatrixProduct(node, TensorAt(node, 1), TensorAt(node, 2));
        return Has(bias) && LastSliceIsZeroOrAbsent(bias) ? product : Label::kAny;
      }
      case AxisRule::kMatmul:
        return MatrixProduct(node, TensorAt(node, 0), TensorAt(node, 1));
      case AxisRule::kEmbedding: {
        const ValueId weight = TensorAt(node, 0);
        return Has(TensorAt(node, 1)) || !SliceIsZero(weight, 1) ? Label::kAny : Label::kZero;
      }
      default:
        return Layer(node, rule);
    }
  }

  /// Linear layers and convolutions.
  Label Layer(const Node& node, AxisRule rule) {
    const ValueId x = TensorAt(node, 0), weight = TensorAt(node, 1), bias = TensorAt(node, 2);
    size_t channels = rank(x) - 1, out = 0, in = 1;
    if (rule != AxisRule::kLinear) {
      channels = rank(x) + 1 - rank(weight);
      if (FormOf(node)->transposed) std::swap(out, in);
    }
    const ValueId y = node.outputs[0];
    const bool makes = Has(y, channels);
    // In a transposed convolution the groups are on the dimension of the inputs, which they are not.
    const bool by_group = makes && !Has(weight, out);
    if (Has(weight, in) && !by_group) Reads(node, Of(x) == Label::kZero);

    Label label = Label::kZero;
    if (makes && !(SliceIsZero(weight, by_group ? in : out) && LastSliceIsZeroOrAbsent(bias))) {
      label = Label::kAny;
    }
    for (size_t dim = 0; dim < rank(y); ++dim) {
      if (dim == channels || !Has(y, dim)) continue;
      if (bias >= 0 || Of(x) != Label::kZero) label = Label::kAny;
    }
    return label;
  }

  Label MatrixProduct(const Node& node, ValueId left, ValueId right) {
    const size_t left_row = rank(left) >= 2 ? rank(left) - 2 : 0;
    const size_t right_row = rank(right) >= 2 ? rank(right) - 2 : 0;
    if (Has(left, rank(left) - 1)) {
      Reads(node, SliceIsZero(left, rank(left) - 1) || SliceIsZero(right, right_row));
    }
    bool zero = true;
    if (rank(left) >= 2 && Has(left, left_row)) zero = zero && SliceIsZero(left, left_row);
    if (rank(right) >= 2 && Has(right, rank(right) - 1)) {
      zero = zero && SliceIsZero(right, rank(right) - 1);
    }
    bool in_batch = false;
    for (size_t dim = 0; dim < left_row; ++dim) in_batch = in_batch || Has(left, dim);
    for (size_t dim = 0; dim < right_row; ++dim) in_batch = in_batch || Has(right, dim);
    if (in_batch) zero = zero && (Of(left) == Label::kZero || Of(right) == Label::kZero);
    return zero ? Label::kZero : Label::kAny;
  }

  const Graph& graph_;
  const AxisAnalysis& analysis_;
  const std::vector<std::vector<AxisId>>& atoms_;
  const AxisId atom_;
  std::vector<Label> labels_;
  std::string breach_;
};

}  // namespace

ZeroInvariance::ZeroInvariance(const Graph& graph, const AxisAnalysis& analysis)
    : graph_(graph), analysis_(analysis), atoms_(graph.values.size()) {
  for (size_t id = 0; id < atoms_.size(); ++id) {
    for (AxisId axis : analysis.axes[id]) {
      const std::vector<AxisId> inside = analysis.table.Atoms(axis);
      atoms_[id].insert(atoms_[id].end(), inside.begin(), inside.end());
    }
    std::sort(atoms_[id].begin(), atoms_[id].end());
    atoms_[id].erase(std::unique(atoms_[id].begin(), atoms_[id].end()), atoms_[id].end());
  }
}

std::optional<std::string> ZeroInvariance::Breach(AxisId atom) const {
  return Walk(graph_, analysis_, atoms_, atom).Run();
}

}  // namespace sluice::graph
