#include "models/graph/zero_labels.h"

#include <algorithm>

#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

using LabelOf = std::function<ZeroLabel(ValueId)>;

ZeroLabel Sum(const Node& node, bool has_number, const LabelOf& label_of) {
  ZeroLabel label = ZeroLabel::kZero;
  for (ValueId id : TensorsOf(node)) label = std::max(label, label_of(id));
  const bool shifted = has_number && NumberAt(node, 1).value_or(0) != 0;
  return shifted ? std::max(label, ZeroLabel::kConstant) : label;
}

ZeroLabel Product(const Node& node, const LabelOf& label_of) {
  ZeroLabel least = ZeroLabel::kAny, most = ZeroLabel::kZero;
  for (ValueId id : TensorsOf(node)) {
    least = std::min(least, label_of(id));
    most = std::max(most, label_of(id));
  }
  return least == ZeroLabel::kZero ? ZeroLabel::kZero : most;
}

/// Whether zero is between the bounds. A bound that is a tensor may be anything.
bool KeepsZero(const Node& clamp) {
  const auto low = NumberAt(clamp, 1), high = NumberAt(clamp, 2);
  return (low ? *low <= 0 : NoneAt(clamp, 1)) && (high ? *high >= 0 : NoneAt(clamp, 2));
}

}  // namespace

ZeroLabel FollowZeros(const Node& node, const LabelOf& label_of) {
  const ValueId x = TensorAt(node, 0);
  const auto of = [&label_of](ValueId id) { return id >= 0 ? label_of(id) : ZeroLabel::kAny; };
  const Operator& known = OperatorOf(node);
  switch (known.zeros) {
    case ZeroRule::kKeeps:
      return of(x);
    case ZeroRule::kConstant:
      return std::max(of(x), ZeroLabel::kConstant);
    case ZeroRule::kAdd:
      return Sum(node, known.axes == AxisRule::kElementwise, label_of);
    case ZeroRule::kMultiply:
      return Product(node, label_of);
    case ZeroRule::kDivide:
      return TensorAt(node, 1) >= 0 && of(TensorAt(node, 1)) == ZeroLabel::kZero ? ZeroLabel::kAny
                                                                                 : of(x);
    case ZeroRule::kSelects:
      return std::max(of(TensorAt(node, 1)), of(TensorAt(node, 2)));
    case ZeroRule::kMaskedFill:
      return NumberAt(node, 2) == 0 ? of(x) : ZeroLabel::kAny;
    case ZeroRule::kClamp:
      return KeepsZero(node) ? of(x) : std::max(of(x), ZeroLabel::kConstant);
    case ZeroRule::kPower:
      // Below 1 its gradient at zero is not finite.
      return NumberAt(node, 1).value_or(0) >= 1 ? of(x) : ZeroLabel::kAny;
    case ZeroRule::kPads:
      return NumberAt(node, 2).value_or(0) == 0 ? of(x) : std::max(of(x), ZeroLabel::kConstant);
    case ZeroRule::kAny:
    case ZeroRule::kNormalises:
    case ZeroRule::kWeights:
      return ZeroLabel::kAny;
  }
  return ZeroLabel::kAny;
}

}  // namespace sluice::graph
