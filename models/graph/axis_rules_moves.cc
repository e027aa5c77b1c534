#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/axis_rules.h"

namespace sluice::graph {

/// Consecutive dimensions of equal extents, all in all, hold the same elements: their factors are dealt out anew.
absl::Status AxisRules::Reshape(int32_t index, const Node& node, bool by_literal) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const ValueId output = node.outputs[0];
  Axes out;
  std::vector<int32_t> from;
  std::vector<std::pair<AxisId, int32_t>> waiting;  // factors, outermost first, and where they are
  size_t next = 0;
  for (size_t dim = 0; dim < rank(output); ++dim) {
    int64_t missing = value(output).shape[dim];
    std::vector<AxisId> factors;
    int32_t source = -1;
    bool whole = true;
    while (missing > 1) {
      while (waiting.empty()) {
        if (next == rank(x)) return absl::InvalidArgumentError("its sizes do not fit its input");
        for (AxisId factor : table().Factors(axes(x)[next])) {
          waiting.emplace_back(factor, static_cast<int32_t>(next));
        }
        ++next;
      }
      const auto [factor, place] = waiting.front();
      waiting.erase(waiting.begin());
      whole = whole && (factors.empty() || source == place);
      source = place;
      if (missing % table().extent(factor) == 0) {
        factors.push_back(factor);
        missing /= table().extent(factor);
        continue;
      }
      const auto parts = table().SplitFactor(factor, missing);
      if (!parts) return absl::InvalidArgumentError("its sizes cut inside a dimension's parts");
      factors.push_back(parts->first);
      waiting.emplace(waiting.begin(), parts->second, place);
      missing = 1;
    }
    out.push_back(table().Product(factors));
    whole = whole && source >= 0 &&
            value(output).shape[dim] == value(x).shape[static_cast<size_t>(source)];
    from.push_back(whole ? source : -1);
  }
  if (!waiting.empty()) return absl::InvalidArgumentError("its sizes do not fit its input");

  if (by_literal) {
    const bool unflattens = node.op == "aten::unflatten";
    const size_t operand = unflattens ? 2 : 1;
    size_t first = 0;
    if (unflattens) {
      SLUICE_ASSIGN_OR_RETURN(first, Dimension(node, 1, rank(x)));
    }
    const auto sizes = IntsAt(node, operand);
    if (!sizes || first + sizes->size() > out.size()) {
      return absl::InvalidArgumentError("its sizes are no constants");
    }
    for (size_t element = 0; element < sizes->size(); ++element) {
      if ((*sizes)[element] == -1) continue;
      const size_t dim = first + element;
      const Value& result = value(output);
      if (dim < result.other_shape.size() && result.other_shape[dim] != result.shape[dim]) {
        table().Fix(out[dim],
                    absl::StrCat(NameOf(node), " lays it together with what depends on the batch"));
      }
      AddLiteral(index, static_cast<int32_t>(operand), static_cast<int32_t>(element), out[dim]);
    }
  }
  SetView(node, x, std::move(out), from);
  return absl::OkStatus();
}

absl::Status AxisRules::Rearrange(const Node& node, const std::vector<size_t>& from) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  Axes out;
  std::vector<int32_t> dims;
  for (size_t dim : from) {
    out.push_back(axes(x)[dim]);
    dims.push_back(static_cast<int32_t>(dim));
  }
  SetView(node, x, std::move(out), dims);
  return absl::OkStatus();
}

absl::Status AxisRules::TransposeLast(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  if (rank(x) > 2) return absl::InvalidArgumentError("its input is no matrix");
  return Rearrange(node, rank(x) == 2   ? std::vector<size_t>{1, 0}
                         : rank(x) == 1 ? std::vector<size_t>{0}
                                        : std::vector<size_t>{});
}

absl::Status AxisRules::Transpose(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const size_t a, Dimension(node, 1, rank(x)));
  SLUICE_ASSIGN_OR_RETURN(const size_t b, Dimension(node, 2, rank(x)));
  std::vector<size_t> from;
  for (size_t dim = 0; dim < rank(x); ++dim) from.push_back(dim == a ? b : dim == b ? a : dim);
  return Rearrange(node, from);
}

absl::Status AxisRules::Permute(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const auto order = IntsAt(node, 1);
  if (!order || order->size() != rank(x)) {
    return absl::InvalidArgumentError("its order is no constant");
  }
  std::vector<size_t> from;
  for (int64_t dim : *order) {
    const int64_t at = dim < 0 ? dim + static_cast<int64_t>(rank(x)) : dim;
    if (at < 0 || at >= static_cast<int64_t>(rank(x))) {
      return absl::InvalidArgumentError(absl::StrCat("it has no dimension ", dim));
    }
    from.push_back(static_cast<size_t>(at));
  }
  return Rearrange(node, from);
}

absl::Status AxisRules::Expand(int32_t index, const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const ValueId output = node.outputs[0];
  const auto sizes = IntsAt(node, 1);
  if (!sizes || sizes->size() != rank(output) || rank(output) < rank(x)) {
    return absl::InvalidArgumentError("its sizes are no constants");
  }
  const size_t more = rank(output) - rank(x);
  Axes out;
  std::vector<int32_t> from;
  for (size_t dim = 0; dim < rank(output); ++dim) {
    const bool keeps = dim >= more && value(x).shape[dim - more] == value(output).shape[dim];
    out.push_back(keeps ? axes(x)[dim - more] : Fresh(output, dim));
    from.push_back(keeps ? static_cast<int32_t>(dim - more) : -1);
    if ((*sizes)[dim] != -1) AddLiteral(index, 1, static_cast<int32_t>(dim), out.back());
  }
  SetView(node, x, std::move(out), from);
  return absl::OkStatus();
}

absl::Status AxisRules::ExpandAs(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const ValueId like, Tensor(node, 1));
  MarkAll(x, Use::kScales);
  SetOutput(node, 0, Broadcast(node, {x, like}, rank(node.outputs[0])));
  return absl::OkStatus();
}

absl::Status AxisRules::Cat(const Node& node) {
  std::vector<ValueId> tensors = TensorsOf(node);
  if (tensors.empty()) return absl::InvalidArgumentError("it has no tensors");
  SLUICE_ASSIGN_OR_RETURN(const size_t dim, Dimension(node, 1, rank(tensors[0])));
  Axes out = axes(tensors[0]), members;
  for (ValueId id : tensors) {
    if (rank(id) != out.size()) return absl::InvalidArgumentError("its tensors differ in rank");
    MarkAll(id, Use::kScales);
    members.push_back(axes(id)[dim]);
    for (size_t other = 0; other < out.size(); ++other) {
      if (other != dim) table().Unify(out[other], axes(id)[other], NameOf(node));
    }
  }
  out[dim] = table().Concatenation(members);
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::Stack(const Node& node) {
  const std::vector<ValueId> tensors = TensorsOf(node);
  if (tensors.empty()) return absl::InvalidArgumentError("it has no tensors");
  SLUICE_ASSIGN_OR_RETURN(const size_t dim, Dimension(node, 1, rank(tensors[0]) + 1));
  Axes out = axes(tensors[0]);
  for (ValueId id : tensors) {
    if (rank(id) != out.size()) return absl::InvalidArgumentError("its tensors differ in rank");
    MarkAll(id, Use::kScales);
    for (size_t other = 0; other < out.size(); ++other) {
      table().Unify(out[other], axes(id)[other], NameOf(node));
    }
  }
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(dim),
             table().FixedAtom(static_cast<int64_t>(tensors.size()),
                               absl::StrCat(NameOf(node), " made it of whole tensors")));
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

/// chunk and split by one size: their parts stay equal, so they lose the same. split_with_sizes: each loses its own.
absl::Status AxisRules::Split(int32_t index, const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const size_t dim, Dimension(node, 2, rank(x)));
  const bool by_sizes = IntsAt(node, 1).has_value();
  const bool all_fixed = table().AllFixed(axes(x)[dim]);
  MarkAll(x, Use::kScales);
  AxisId rest = axes(x)[dim];
  Axes parts;
  for (ValueId output : node.outputs) {
    if (rank(output) != rank(x)) return absl::InvalidArgumentError("its output has another rank");
    const int64_t extent = value(output).shape[dim];
    AxisId part = rest;
    if (all_fixed) {
      part = table().FixedAtom(extent, "it is a part of what is fixed");
    } else if (output != node.outputs.back()) {
      if (extent >= table().extent(rest)) {
        return absl::InvalidArgumentError("its parts are more than its input");
      }
      const auto pieces = table().SplitAt(rest, extent);
      if (!pieces) return absl::InvalidArgumentError("it cuts inside a dimension's parts");
      part = pieces->first;
      rest = pieces->second;
    }
    parts.push_back(part);
  }
  for (size_t output = 0; output < parts.size(); ++output) {
    if (by_sizes) {
      AddLiteral(index, 1, static_cast<int32_t>(output), parts[output]);
    } else if (!all_fixed && output > 0) {
      table().Unify(parts[0], parts[output], NameOf(node));
    }
    Axes out = axes(x);
    out[dim] = parts[output];
    SetOutput(node, output, std::move(out));
  }
  if (OperatorOf(node).axes == AxisRule::kSplit && !by_sizes) AddLiteral(index, 1, -1, parts[0]);
  return absl::OkStatus();
}

absl::Status AxisRules::Slice(int32_t index, const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const size_t dim, Dimension(node, 1, rank(x)));
  const int64_t extent = value(x).shape[dim];
  const auto bound = [&](size_t operand, int64_t fallback) -> std::optional<int64_t> {
    if (NoneAt(node, operand)) return fallback;
    const auto number = IntAt(node, operand);
    if (!number) return std::nullopt;
    return std::clamp<int64_t>(*number < 0 ? *number + extent : *number, 0, extent);
  };
  const auto start = bound(2, 0), end = bound(3, extent);
  const auto step = NoneAt(node, 4) ? std::optional<int64_t>(1) : IntAt(node, 4);
  if (!start || !end || !step) return absl::InvalidArgumentError("its bounds are no constants");

  AxisId middle = axes(x)[dim];
  const bool whole = *start == 0 && *end == extent && *step == 1;
  if (!whole && (*step != 1 || table().AllFixed(middle))) {
    table().Fix(middle, absl::StrCat(NameOf(node), " takes some of it"));
    middle = FreshPosition(node.outputs[0], dim);
  } else if (!whole) {
    AxisId head = -1, tail = -1;
    if (*end < extent) {
      const auto parts = table().SplitAt(middle, *end);
      if (!parts) return absl::InvalidArgumentError("it cuts inside a dimension's parts");
      std::tie(middle, tail) = *parts;
      const bool negative = *IntAt(node, 3) < 0;
      AddLiteral(index, 3, -1, negative ? tail : middle, negative);
    }
    if (*start > 0) {
      const auto parts = table().SplitAt(middle, *start);
      if (!parts) return absl::InvalidArgumentError("it cuts inside a dimension's parts");
      std::tie(head, middle) = *parts;
      const bool negative = *IntAt(node, 2) < 0;
      const AxisId from_end = tail < 0 ? middle : table().Concatenation({middle, tail});
      AddLiteral(index, 2, -1, negative ? from_end : head, negative);
    }
  }
  Axes out = axes(x);
  out[dim] = middle;
  std::vector<int32_t> from;
  for (size_t d = 0; d < rank(x); ++d)
    from.push_back(d == dim && !whole ? -1 : static_cast<int32_t>(d));
  SetView(node, x, std::move(out), from);
  return absl::OkStatus();
}

absl::Status AxisRules::Select(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  SLUICE_ASSIGN_OR_RETURN(const size_t dim, Dimension(node, 1, rank(x)));
  MarkAll(x, Use::kScales);
  table().Fix(axes(x)[dim], absl::StrCat(NameOf(node), " takes one of it by index"));
  Axes out = axes(x);
  out.erase(out.begin() + static_cast<std::ptrdiff_t>(dim));
  for (size_t output = 0; output < node.outputs.size(); ++output) SetOutput(node, output, out);
  return absl::OkStatus();
}

absl::Status AxisRules::Glu(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  size_t dim = rank(x) - 1;
  if (!NoneAt(node, 1)) {
    SLUICE_ASSIGN_OR_RETURN(dim, Dimension(node, 1, rank(x)));
  }
  const AxisId axis = axes(x)[dim];
  if (table().extent(axis) % 2 != 0) return absl::InvalidArgumentError("its input has no halves");
  const auto halves = table().SplitAt(axis, table().extent(axis) / 2);
  if (!halves) return absl::InvalidArgumentError("it cuts inside a dimension's parts");
  table().Unify(halves->first, halves->second, NameOf(node));
  MarkAll(x, Use::kScales);
  Axes out = axes(x);
  out[dim] = halves->first;
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

absl::Status AxisRules::PixelShuffle(const Node& node) {
  SLUICE_ASSIGN_OR_RETURN(const ValueId x, Tensor(node, 0));
  const auto factor = IntAt(node, 1);
  if (!factor || rank(x) < 3 || rank(node.outputs[0]) != rank(x)) {
    return absl::InvalidArgumentError("its factor is no constant");
  }
  const size_t channels = rank(x) - 3;
  const auto parts = table().SplitFactor(axes(x)[channels], value(node.outputs[0]).shape[channels]);
  if (!parts) return absl::InvalidArgumentError("it cuts inside a dimension's parts");
  table().Fix(parts->second, absl::StrCat(NameOf(node), " makes positions of it"));
  Axes out = axes(x);
  out[channels] = parts->first;
  for (size_t dim = channels + 1; dim < rank(x); ++dim) {
    table().Fix(axes(x)[dim], "it is made of positions, not of channels");
    out[dim] = FreshPosition(node.outputs[0], dim);
  }
  SetOutput(node, 0, std::move(out));
  return absl::OkStatus();
}

}  // namespace sluice::graph
