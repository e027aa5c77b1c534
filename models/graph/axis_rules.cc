#include "models/graph/axis_rules.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, " x "), "]");
}

}  // namespace

absl::Status AxisRules::Apply(int32_t index) {
  const Node& node = graph_.nodes[index];
  SLUICE_RETURN_IF_ERROR(Check(node));
  SLUICE_RETURN_IF_ERROR(Dispatch(index, node));
  for (ValueId output : node.outputs) {
    const std::vector<int64_t>& shape = value(output).shape;
    std::vector<int64_t> found;
    for (AxisId axis : axes(output)) found.push_back(table().extent(axis));
    if (found != shape) {
      return absl::InvalidArgumentError(absl::StrCat("its output is ", ShapeText(shape), ", not ",
                                                     ShapeText(found), " as its operands tell"));
    }
  }
  return absl::OkStatus();
}

absl::Status AxisRules::Check(const Node& node) const {
  std::vector<ValueId> touched = TensorsOf(node);
  touched.insert(touched.end(), node.outputs.begin(), node.outputs.end());
  for (ValueId id : touched) {
    const std::vector<int64_t>& shape = value(id).shape;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
      return absl::InvalidArgumentError("one of its tensors is empty");
    }
  }
  return absl::OkStatus();
}

absl::Status AxisRules::Dispatch(int32_t index, const Node& node) {
  switch (OperatorOf(node).axes) {
    case AxisRule::kUnknown:
      if (TensorsOf(node).empty()) return Factory(node);
      return absl::InvalidArgumentError("the operator is unknown");
    case AxisRule::kFactory:
      return Factory(node);
    case AxisRule::kCopy:
      return Copy(node);
    case AxisRule::kSame:
      return Same(node);
    case AxisRule::kByPosition:
      return ByPosition(node);
    case AxisRule::kElementwise:
      return Elementwise(node);
    case AxisRule::kAlong:
      return Along(node);
    case AxisRule::kSum:
      return Reduce(node, false);
    case AxisRule::kReduce:
      return Reduce(node, true);
    case AxisRule::kLinear:
      return Linear(node);
    case AxisRule::kAddmm:
      return Addmm(node);
    case AxisRule::kMatmul:
      return Matmul(node);
    case AxisRule::kConvolution:
    case AxisRule::kTransposedConvolution:
      return Convolution(index, node);
    case AxisRule::kBatchNorm:
      return BatchNorm(node);
    case AxisRule::kGroupNorm:
      return GroupNorm(index, node);
    case AxisRule::kLayerNorm:
      return LayerNorm(node);
    case AxisRule::kPrelu:
      return Prelu(node);
    case AxisRule::kEmbedding:
      return Embedding(node);
    case AxisRule::kSpatial:
      return Spatial(node);
    case AxisRule::kPad:
      return Pad(node);
    case AxisRule::kReshape:
      return Reshape(index, node, false);
    case AxisRule::kReshapeByLiteral:
      return Reshape(index, node, true);
    case AxisRule::kTransposeLast:
      return TransposeLast(node);
    case AxisRule::kTranspose:
      return Transpose(node);
    case AxisRule::kPermute:
      return Permute(node);
    case AxisRule::kExpand:
      return Expand(index, node);
    case AxisRule::kExpandAs:
      return ExpandAs(node);
    case AxisRule::kCat:
      return Cat(node);
    case AxisRule::kStack:
      return Stack(node);
    case AxisRule::kChunk:
    case AxisRule::kSplit:
    case AxisRule::kSplitBySizes:
      return Split(index, node);
    case AxisRule::kSlice:
      return Slice(index, node);
    case AxisRule::kSelect:
    case AxisRule::kUnbind:
      return Select(node);
    case AxisRule::kGlu:
      return Glu(node);
    case AxisRule::kPixelShuffle:
      return PixelShuffle(node);
  }
  return absl::InvalidArgumentError("the operator is unknown");
}

void AxisRules::GiveUp(int32_t index, absl::string_view why) {
  const Node& node = graph_.nodes[index];
  const std::string reason = absl::StrCat(NameOf(node), ": ", why);
  for (ValueId id : TensorsOf(node)) {
    for (AxisId axis : axes(id)) table().Fix(axis, reason);
  }
  for (size_t output = 0; output < node.outputs.size(); ++output) {
    Axes fixed;
    for (int64_t extent : value(node.outputs[output]).shape) {
      fixed.push_back(table().FixedAtom(extent, reason));
    }
    SetOutput(node, output, std::move(fixed));
    analysis_.origins[node.outputs[output]] = {};
  }
  analysis_.unsupported.push_back({index, std::string(why)});
}

absl::Status AxisRules::Factory(const Node& node) {
  for (size_t output = 0; output < node.outputs.size(); ++output) {
    Axes made;
    for (int64_t extent : value(node.outputs[output]).shape) {
      made.push_back(
          table().FixedAtom(extent, absl::StrCat("its size is a number in ", NameOf(node))));
    }
    SetOutput(node, output, std::move(made));
  }
  return absl::OkStatus();
}

absl::Status AxisRules::Copy(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  std::vector<int32_t> from;
  for (size_t dim = 0; dim < rank(x); ++dim) from.push_back(static_cast<int32_t>(dim));
  SetView(node, x, axes(x), from);
  return absl::OkStatus();
}

absl::Status AxisRules::Same(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  MarkAll(x, Use::kScales);
  for (size_t output = 0; output < node.outputs.size(); ++output) SetOutput(node, output, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::ByPosition(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  for (AxisId axis : axes(x)) {
    table().Fix(axis, absl::StrCat("its indices have a meaning in ", NameOf(node)));
  }
  SetOutput(node, 0, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::Elementwise(const Node& node) {
  const std::vector<ValueId> tensors = TensorsOf(node);
  if (tensors.empty()) return absl::InvalidArgumentError("it has no tensor among its operands");
  for (ValueId id : tensors) MarkAll(id, Use::kScales);
  SetOutput(node, 0, Broadcast(node, tensors, rank(node.outputs[0])));
  return absl::OkStatus();
}

absl::Status AxisRules::Along(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const size_t dim, Dimension(node, 1, rank(x)));
  MarkAll(x, Use::kScales);
  table().Fix(axes(x)[dim], absl::StrCat(NameOf(node), " runs along it"));
  SetOutput(node, 0, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::Reduce(const Node& node, bool zeros_count) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  std::vector<bool> reduced(rank(x), true);
  std::vector<int64_t> dims = IntsAt(node, 1).value_or(std::vector<int64_t>{});
  const size_t out_rank = rank(node.outputs[0]);
  if (dims.empty() && out_rank > 0 && IntAt(node, 1)) dims = {*IntAt(node, 1)};
  if (!dims.empty()) {
    reduced.assign(rank(x), false);
    for (int64_t dim : dims) {
      const int64_t at = dim < 0 ? dim + static_cast<int64_t>(rank(x)) : dim;
      if (at < 0 || at >= static_cast<int64_t>(rank(x))) {
        return absl::InvalidArgumentError(absl::StrCat("it has no dimension ", dim));
      }
      reduced[static_cast<size_t>(at)] = true;
    }
  }
  const bool keeps_dims = out_rank == rank(x);
  MarkAll(x, Use::kScales);
  Axes out;
  for (size_t dim = 0; dim < rank(x); ++dim) {
    if (!reduced[dim]) {
      out.push_back(axes(x)[dim]);
      continue;
    }
    if (zeros_count) {
      table().Fix(axes(x)[dim], absl::StrCat("its zeros would count in ", NameOf(node)));
    }
    if (keeps_dims) out.push_back(table().Atom(1));
  }
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::StatusOr<ValueId> AxisRules::Tensor(const Node& node, size_t i) const {
  const ValueId id = TensorAt(node, i);
  if (id >= 0) return id;
  return absl::InvalidArgumentError(absl::StrCat("its operand ", i, " is no tensor"));
}

absl::StatusOr<size_t> AxisRules::Dimension(const Node& node, size_t i, size_t rank) const {
  const auto number = IntAt(node, i);
  if (!number) {
    return absl::InvalidArgumentError(absl::StrCat("its operand ", i, " is no constant dimension"));
  }
  const int64_t dim = *number < 0 ? *number + static_cast<int64_t>(rank) : *number;
  if (dim >= 0 && dim < static_cast<int64_t>(rank)) return static_cast<size_t>(dim);
  return absl::InvalidArgumentError(
      absl::StrCat("its operand ", i, " is ", *number, ", its tensor has ", rank, " dimensions"));
}

AxisId AxisRules::Fresh(ValueId id, size_t dim) {
  const Value& of = value(id);
  const AxisId atom = table().Atom(of.shape[dim]);
  if (dim < of.other_shape.size() && of.other_shape[dim] != of.shape[dim]) {
    table().Fix(atom, "it depends on the batch");
  }
  return atom;
}

AxisId AxisRules::FreshPosition(ValueId id, size_t dim) {
  return table().FixedAtom(value(id).shape[dim], "it is made of positions, not of channels");
}

void AxisRules::Mark(ValueId id, size_t dim, Use use) {
  const AxisAnalysis::Origin& origin = analysis_.origins[id];
  if (origin.state < 0 || origin.dims[dim] < 0) return;
  AxisUse& mark = analysis_.uses[origin.state][static_cast<size_t>(origin.dims[dim])];
  mark.makes |= use == Use::kMakes;
  mark.scales |= use == Use::kScales;
  mark.reads |= use == Use::kReads;
}

void AxisRules::MarkAll(ValueId id, Use use) {
  for (size_t dim = 0; dim < rank(id); ++dim) Mark(id, dim, use);
}

AxisRules::Axes AxisRules::Broadcast(const Node& node, const std::vector<ValueId>& tensors,
                                     size_t rank) {
  Axes out;
  for (size_t from_end = rank; from_end > 0; --from_end) {
    AxisId axis = -1;
    for (ValueId id : tensors) {
      if (axes(id).size() < from_end) continue;
      const AxisId own = axes(id)[axes(id).size() - from_end];
      if (axis < 0 || table().extent(axis) == 1) {
        axis = own;
      } else if (table().extent(own) != 1) {
        table().Unify(axis, own, NameOf(node));
      }
    }
    out.push_back(axis < 0 ? table().Atom(1) : axis);
  }
  return out;
}

void AxisRules::AddLiteral(int32_t node, int32_t operand, int32_t element, AxisId axis,
                           bool negative) {
  analysis_.literals.push_back({node, operand, element, axis, negative});
}

void AxisRules::SetOutput(const Node& node, size_t output, Axes axes) {
  analysis_.axes[node.outputs[output]] = std::move(axes);
}

void AxisRules::SetView(const Node& node, ValueId of, Axes axes, const std::vector<int32_t>& from) {
  SetOutput(node, 0, std::move(axes));
  const AxisAnalysis::Origin& source = analysis_.origins[of];
  if (source.state < 0) return;
  AxisAnalysis::Origin origin;
  origin.state = source.state;
  for (int32_t dim : from) {
    origin.dims.push_back(dim < 0 ? -1 : source.dims[static_cast<size_t>(dim)]);
  }
  analysis_.origins[node.outputs[0]] = std::move(origin);
}

}  // namespace sluice::graph
