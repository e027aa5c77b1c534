#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/axis_rules.h"

namespace sluice::graph {
namespace {

/// 2 for "aten::max_pool2d"; 0 if its name does not say.
size_t SpatialDimensions(absl::string_view op) {
  for (size_t dims = 1; dims <= 3; ++dims) {
    if (op.find(absl::StrCat(dims, "d")) != absl::string_view::npos) return dims;
  }
  return 0;
}

}  // namespace

/// A bias or a norm's variable, of one value per index of `axis`.
void AxisRules::Attach(const Node& node, size_t operand, AxisId axis) {
  const ValueId id = TensorAt(node, operand);
  if (id < 0 || axes(id).empty()) return;
  table().Unify(axes(id).back(), axis, NameOf(node));
  Mark(id, axes(id).size() - 1, Use::kScales);
}

absl::Status AxisRules::Linear(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId weight, Tensor(node, 1));
  if (rank(weight) != 2 || rank(x) == 0) {
    return absl::InvalidArgumentError("its weight is no matrix");
  }
  table().Unify(axes(x).back(), axes(weight)[1], NameOf(node));
  Mark(weight, 0, Use::kMakes);
  Mark(weight, 1, Use::kReads);
  Attach(node, 2, axes(weight)[0]);
  Axes out = axes(x);
  out.back() = axes(weight)[0];
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::Product(const Node& node, ValueId left, ValueId right, Axes* out) {
  if (rank(left) == 0 || rank(right) == 0) {
    return absl::InvalidArgumentError("it multiplies a scalar");
  }
  const size_t left_row = rank(left) >= 2 ? rank(left) - 2 : 0;
  const size_t right_row = rank(right) >= 2 ? rank(right) - 2 : 0;
  table().Unify(axes(left).back(), axes(right)[right_row], NameOf(node));
  Mark(left, rank(left) - 1, Use::kReads);
  Mark(right, right_row, Use::kReads);

  const size_t left_batch = left_row, right_batch = right_row;
  for (size_t from_end = std::max(left_batch, right_batch); from_end > 0; --from_end) {
    AxisId axis = -1;
    for (const auto& [id, batch] : {std::pair(left, left_batch), std::pair(right, right_batch)}) {
      if (batch < from_end) continue;
      Mark(id, batch - from_end, Use::kScales);
      const AxisId own = axes(id)[batch - from_end];
      if (axis < 0 || table().extent(axis) == 1) {
        axis = own;
      } else if (table().extent(own) != 1) {
        table().Unify(axis, own, NameOf(node));
      }
    }
    out->push_back(axis);
  }
  if (rank(left) >= 2) {
    out->push_back(axes(left)[left_row]);
    Mark(left, left_row, Use::kMakes);
  }
  if (rank(right) >= 2) {
    out->push_back(axes(right).back());
    Mark(right, rank(right) - 1, Use::kMakes);
  }
  return absl::OkStatus();
}

absl::Status AxisRules::Matmul(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId left, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId right, Tensor(node, 1));
  Axes out;
  SLUICE_RETURN_IF_ERROR(Product(node, left, right, &out));
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::Addmm(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId bias, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId left, Tensor(node, 1));
  SLUICE_ASSIGN_OR_RETURN(const ValueId right, Tensor(node, 2));
  Axes out;
  SLUICE_RETURN_IF_ERROR(Product(node, left, right, &out));
  for (size_t from_end = 1; from_end <= std::min(rank(bias), out.size()); ++from_end) {
    const AxisId own = axes(bias)[rank(bias) - from_end];
    Mark(bias, rank(bias) - from_end, Use::kScales);
    if (table().extent(own) != 1) table().Unify(own, out[out.size() - from_end], NameOf(node));
  }
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::Convolution(int32_t index, const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId weight, Tensor(node, 1));
  const auto form = FormOf(node);
  if (!form) return absl::InvalidArgumentError("its groups are no constant");
  if (rank(weight) < 3 || rank(x) + 1 < rank(weight) || rank(x) > rank(weight)) {
    return absl::InvalidArgumentError("its weight does not fit its input");
  }
  const size_t channels = rank(x) + 1 - rank(weight);  // 1, or 0 without a batch
  for (size_t dim = 2; dim < rank(weight); ++dim) {
    table().Fix(axes(weight)[dim], absl::StrCat("it is the kernel of ", NameOf(node)));
    table().Fix(axes(x)[channels + dim - 1], "it is made of positions, not of channels");
  }

  // The weight is [groups * a or b, b or a, kernel...], where a input and b output channels are a group's.
  const AxisId first = axes(weight)[0], second = axes(weight)[1];
  const bool transposed = form->transposed;
  const bool depthwise = table().extent(first) == form->groups && table().extent(second) == 1;
  AxisId made = transposed ? second : first;
  if (form->groups > 1) {
    const auto input = table().SplitFactor(axes(x)[channels], form->groups);
    const auto rows = table().SplitFactor(first, form->groups);
    if (!input || !rows) {
      return absl::InvalidArgumentError("its input does not fall into its groups");
    }
    table().Unify(input->first, rows->first, NameOf(node));
    table().Unify(input->second, transposed ? rows->second : second, NameOf(node));
    made = transposed ? table().Product({rows->first, second}) : first;
    AddLiteral(index, static_cast<int32_t>(form->groups_operand), -1, rows->first);
    Mark(weight, 0, Use::kScales);
  } else {
    table().Unify(axes(x)[channels], transposed ? first : second, NameOf(node));
  }
  if (!depthwise) Mark(weight, transposed ? 1 : 0, Use::kMakes);
  if (!depthwise) Mark(weight, transposed ? 0 : 1, Use::kReads);
  Attach(node, 2, made);

  Axes out = axes(x);
  out[channels] = made;
  const ValueId output = node.outputs[0];
  if (rank(output) != rank(x)) return absl::InvalidArgumentError("its output has another rank");
  for (size_t dim = channels + 1; dim < rank(x); ++dim) out[dim] = FreshPosition(output, dim);
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::BatchNorm(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  if (rank(x) < 2) return absl::InvalidArgumentError("its input has no channels");
  for (size_t operand = 1; operand <= 4; ++operand) Attach(node, operand, axes(x)[1]);
  SetOutput(node, 0, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::GroupNorm(int32_t index, const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const auto groups = IntAt(node, 1);
  if (!groups || rank(x) < 2) return absl::InvalidArgumentError("its groups are no constant");
  const auto parts = table().SplitFactor(axes(x)[1], *groups);
  if (!parts) return absl::InvalidArgumentError("its input does not fall into its groups");
  if (table().extent(parts->second) > 1) {
    table().Fix(parts->second, absl::StrCat(NameOf(node), " takes statistics of it"));
  }
  AddLiteral(index, 1, -1, parts->first);
  Attach(node, 2, axes(x)[1]);
  Attach(node, 3, axes(x)[1]);
  SetOutput(node, 0, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::LayerNorm(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const auto shape = IntsAt(node, 1);
  if (!shape || shape->size() > rank(x)) {
    return absl::InvalidArgumentError("its normalized_shape is no constant");
  }
  for (size_t from_end = 1; from_end <= shape->size(); ++from_end) {
    const AxisId axis = axes(x)[rank(x) - from_end];
    table().Fix(axis, absl::StrCat(NameOf(node), " takes statistics of it"));
    for (size_t operand : {size_t{2}, size_t{3}}) {
      const ValueId variable = TensorAt(node, operand);
      if (variable < 0 || rank(variable) < from_end) continue;
      table().Unify(axes(variable)[rank(variable) - from_end], axis, NameOf(node));
      Mark(variable, rank(variable) - from_end, Use::kScales);
    }
  }
  SetOutput(node, 0, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::Prelu(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId slope, Tensor(node, 1));
  if (rank(slope) == 1 && value(slope).shape[0] > 1) {
    Attach(node, 1, axes(x)[rank(x) >= 2 ? 1 : 0]);
  }
  SetOutput(node, 0, axes(x));
  return absl::OkStatus();
}

absl::Status AxisRules::Embedding(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId weight, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId indices, Tensor(node, 1));
  if (rank(weight) != 2) return absl::InvalidArgumentError("its weight is no matrix");
  table().Fix(axes(weight)[0], absl::StrCat(NameOf(node), " looks it up by index"));
  Mark(weight, 0, Use::kReads);
  Mark(weight, 1, Use::kMakes);
  Axes out = axes(indices);
  out.push_back(axes(weight)[1]);
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::Spatial(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const size_t spatial = SpatialDimensions(node.op);
  if (spatial == 0 || rank(x) <= spatial) {
    return absl::InvalidArgumentError("its input has too few dimensions");
  }
  for (size_t dim = rank(x) - spatial; dim < rank(x); ++dim) {
    table().Fix(axes(x)[dim], "it is made of positions, not of channels");
  }
  for (size_t output = 0; output < node.outputs.size(); ++output) {
    if (rank(node.outputs[output]) != rank(x)) {
      return absl::InvalidArgumentError("its output has another rank");
    }
    Axes out = axes(x);
    for (size_t dim = rank(x) - spatial; dim < rank(x); ++dim) {
      out[dim] = FreshPosition(node.outputs[output], dim);
    }
    SetOutput(node, output, std::move(out));
  }
  return absl::OkStatus();
}

absl::Status AxisRules::Pad(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const auto pads = IntsAt(node, 1);
  if (!pads || pads->size() > 2 * rank(x)) {
    return absl::InvalidArgumentError("its padding is no constant");
  }
  Axes out = axes(x);
  for (size_t pair = 0; pair < pads->size() / 2; ++pair) {
    if ((*pads)[2 * pair] == 0 && (*pads)[2 * pair + 1] == 0) continue;
    const size_t dim = rank(x) - 1 - pair;
    table().Fix(axes(x)[dim], absl::StrCat(NameOf(node), " pads it"));
    out[dim] = FreshPosition(node.outputs[0], dim);
  }
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

}  // namespace sluice::graph
