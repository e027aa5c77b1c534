#include "models/graph/operators.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace sluice::graph {
namespace {

constexpr Operator kOperators[] = {
    {"aten::linear", AxisRule::kLinear, ZeroRule::kWeights},
    {"aten::addmm", AxisRule::kAddmm, ZeroRule::kWeights},
    {"aten::matmul", AxisRule::kMatmul, ZeroRule::kWeights},
    {"aten::mm", AxisRule::kMatmul, ZeroRule::kWeights},
    {"aten::bmm", AxisRule::kMatmul, ZeroRule::kWeights},
    {"aten::_convolution", AxisRule::kConvolution, ZeroRule::kWeights},
    {"aten::convolution", AxisRule::kConvolution, ZeroRule::kWeights},
    {"aten::conv1d", AxisRule::kConvolution, ZeroRule::kWeights},
    {"aten::conv2d", AxisRule::kConvolution, ZeroRule::kWeights},
    {"aten::conv3d", AxisRule::kConvolution, ZeroRule::kWeights},
    {"aten::conv_transpose1d", AxisRule::kTransposedConvolution, ZeroRule::kWeights},
    {"aten::conv_transpose2d", AxisRule::kTransposedConvolution, ZeroRule::kWeights},
    {"aten::conv_transpose3d", AxisRule::kTransposedConvolution, ZeroRule::kWeights},
    {"aten::embedding", AxisRule::kEmbedding, ZeroRule::kWeights},

    {"aten::batch_norm", AxisRule::kBatchNorm, ZeroRule::kNormalises},
    {"aten::instance_norm", AxisRule::kBatchNorm, ZeroRule::kNormalises},
    {"aten::group_norm", AxisRule::kGroupNorm, ZeroRule::kNormalises},
    {"aten::layer_norm", AxisRule::kLayerNorm, ZeroRule::kNormalises},

    {"aten::relu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::relu6", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::leaky_relu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::elu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::celu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::selu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::gelu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::silu", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::mish", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::hardswish", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::tanh", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::softsign", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::softshrink", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::hardshrink", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::sin", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::tan", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::atan", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::erf", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::expm1", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::log1p", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::sqrt", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::square", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::abs", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::neg", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::sign", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::dropout", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::feature_dropout", AxisRule::kSame, ZeroRule::kKeeps},
    {"aten::hardtanh", AxisRule::kSame, ZeroRule::kClamp},
    {"aten::clamp", AxisRule::kSame, ZeroRule::kClamp},
    {"aten::clamp_min", AxisRule::kSame, ZeroRule::kClamp},
    {"aten::pow", AxisRule::kElementwise, ZeroRule::kPower},
    {"aten::sigmoid", AxisRule::kSame, ZeroRule::kConstant},
    {"aten::hardsigmoid", AxisRule::kSame, ZeroRule::kConstant},
    {"aten::log_sigmoid", AxisRule::kSame, ZeroRule::kConstant},
    {"aten::softplus", AxisRule::kSame, ZeroRule::kConstant},
    {"aten::exp", AxisRule::kSame, ZeroRule::kConstant},
    {"aten::cos", AxisRule::kSame, ZeroRule::kConstant},
    {"aten::rsub", AxisRule::kElementwise, ZeroRule::kAdd},
    {"aten::rsqrt", AxisRule::kSame},
    {"aten::reciprocal", AxisRule::kSame},
    {"aten::log", AxisRule::kSame},
    {"aten::prelu", AxisRule::kPrelu, ZeroRule::kKeeps},
    {"aten::glu", AxisRule::kGlu, ZeroRule::kKeeps},

    {"aten::add", AxisRule::kElementwise, ZeroRule::kAdd},
    {"aten::sub", AxisRule::kElementwise, ZeroRule::kAdd},
    {"aten::minimum", AxisRule::kElementwise, ZeroRule::kAdd},
    {"aten::maximum", AxisRule::kElementwise, ZeroRule::kAdd},
    {"aten::mul", AxisRule::kElementwise, ZeroRule::kMultiply},
    {"aten::div", AxisRule::kElementwise, ZeroRule::kDivide},
    {"aten::where", AxisRule::kElementwise, ZeroRule::kSelects},
    {"aten::masked_fill", AxisRule::kElementwise, ZeroRule::kMaskedFill},
    {"aten::eq", AxisRule::kElementwise},
    {"aten::ne", AxisRule::kElementwise},
    {"aten::lt", AxisRule::kElementwise},
    {"aten::le", AxisRule::kElementwise},
    {"aten::gt", AxisRule::kElementwise},
    {"aten::ge", AxisRule::kElementwise},
    {"aten::logical_not", AxisRule::kSame},
    {"aten::bitwise_not", AxisRule::kSame},
    {"aten::logical_and", AxisRule::kElementwise},
    {"aten::logical_or", AxisRule::kElementwise},

    {"aten::softmax", AxisRule::kAlong, ZeroRule::kConstant},
    {"aten::_softmax", AxisRule::kAlong, ZeroRule::kConstant},
    {"aten::log_softmax", AxisRule::kAlong, ZeroRule::kConstant},
    {"aten::_log_softmax", AxisRule::kAlong, ZeroRule::kConstant},
    {"aten::cumsum", AxisRule::kAlong, ZeroRule::kKeeps},
    {"aten::triu", AxisRule::kByPosition, ZeroRule::kKeeps},
    {"aten::tril", AxisRule::kByPosition, ZeroRule::kKeeps},
    {"aten::sum", AxisRule::kSum, ZeroRule::kKeeps},
    {"aten::mean", AxisRule::kReduce, ZeroRule::kKeeps},
    {"aten::amax", AxisRule::kReduce, ZeroRule::kKeeps},
    {"aten::amin", AxisRule::kReduce, ZeroRule::kKeeps},

    {"aten::max_pool1d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::max_pool2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::max_pool3d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::max_pool2d_with_indices", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::avg_pool1d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::avg_pool2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::avg_pool3d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::adaptive_avg_pool1d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::adaptive_avg_pool2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::adaptive_avg_pool3d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::adaptive_max_pool2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::upsample_nearest1d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::upsample_nearest2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::upsample_bilinear2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::upsample_bicubic2d", AxisRule::kSpatial, ZeroRule::kKeeps},
    {"aten::constant_pad_nd", AxisRule::kPad, ZeroRule::kPads},
    {"aten::pixel_shuffle", AxisRule::kPixelShuffle, ZeroRule::kKeeps},

    {"aten::view", AxisRule::kReshapeByLiteral, ZeroRule::kKeeps},
    {"aten::reshape", AxisRule::kReshapeByLiteral, ZeroRule::kKeeps},
    {"aten::_reshape_alias", AxisRule::kReshapeByLiteral, ZeroRule::kKeeps},
    {"aten::_unsafe_view", AxisRule::kReshapeByLiteral, ZeroRule::kKeeps},
    {"aten::unflatten", AxisRule::kReshapeByLiteral, ZeroRule::kKeeps},
    {"aten::flatten", AxisRule::kReshape, ZeroRule::kKeeps},
    {"aten::squeeze", AxisRule::kReshape, ZeroRule::kKeeps},
    {"aten::unsqueeze", AxisRule::kReshape, ZeroRule::kKeeps},
    {"aten::contiguous", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::clone", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::detach", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::alias", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::to", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::type_as", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::float", AxisRule::kCopy, ZeroRule::kKeeps},
    {"aten::t", AxisRule::kTransposeLast, ZeroRule::kKeeps},
    {"aten::transpose", AxisRule::kTranspose, ZeroRule::kKeeps},
    {"aten::permute", AxisRule::kPermute, ZeroRule::kKeeps},
    {"aten::expand", AxisRule::kExpand, ZeroRule::kKeeps},
    {"aten::expand_as", AxisRule::kExpandAs, ZeroRule::kKeeps},
    {"aten::cat", AxisRule::kCat, ZeroRule::kAdd},
    {"aten::concat", AxisRule::kCat, ZeroRule::kAdd},
    {"aten::stack", AxisRule::kStack, ZeroRule::kAdd},
    {"aten::chunk", AxisRule::kChunk, ZeroRule::kKeeps},
    {"aten::split", AxisRule::kSplit, ZeroRule::kKeeps},
    {"aten::split_with_sizes", AxisRule::kSplitBySizes, ZeroRule::kKeeps},
    {"aten::slice", AxisRule::kSlice, ZeroRule::kKeeps},
    {"aten::select", AxisRule::kSelect, ZeroRule::kKeeps},
    {"aten::unbind", AxisRule::kUnbind, ZeroRule::kKeeps},

    {"aten::arange", AxisRule::kFactory},
    {"aten::full", AxisRule::kFactory},
    {"aten::ones", AxisRule::kFactory},
    {"aten::zeros", AxisRule::kFactory},
    {"aten::empty", AxisRule::kFactory},
    {"aten::scalar_tensor", AxisRule::kFactory},
    {"aten::ones_like", AxisRule::kSame},
    {"aten::zeros_like", AxisRule::kSame},
    {"aten::full_like", AxisRule::kSame},
};

template <typename T>
const T* OperandAs(const Node& node, size_t i) {
  return i < node.operands.size() ? std::get_if<T>(&node.operands[i].of) : nullptr;
}

}  // namespace

const Operator& OperatorOf(const Node& node) {
  static const auto* const table = [] {
    auto* const map = new absl::flat_hash_map<absl::string_view, const Operator*>;
    for (const Operator& known : kOperators) map->emplace(known.name, &known);
    return map;
  }();
  static constexpr Operator kNone;
  const auto found = table->find(node.op);
  return found == table->end() ? kNone : *found->second;
}

ValueId TensorAt(const Node& node, size_t i) {
  const auto* const value = OperandAs<ValueId>(node, i);
  return value != nullptr ? *value : -1;
}

std::optional<int64_t> IntAt(const Node& node, size_t i) {
  const auto* const number = OperandAs<int64_t>(node, i);
  return number != nullptr ? std::optional(*number) : std::nullopt;
}

std::optional<std::vector<int64_t>> IntsAt(const Node& node, size_t i) {
  const auto* const numbers = OperandAs<std::vector<int64_t>>(node, i);
  return numbers != nullptr ? std::optional(*numbers) : std::nullopt;
}

std::optional<double> NumberAt(const Node& node, size_t i) {
  if (const auto* const real = OperandAs<double>(node, i)) return *real;
  if (const auto* const flag = OperandAs<bool>(node, i)) return *flag ? 1 : 0;
  if (const auto whole = IntAt(node, i)) return static_cast<double>(*whole);
  return std::nullopt;
}

bool NoneAt(const Node& node, size_t i) {
  return i >= node.operands.size() || OperandAs<std::monostate>(node, i) != nullptr;
}

std::vector<ValueId> TensorsOf(const Node& node) {
  std::vector<ValueId> tensors;
  for (const Operand& operand : node.operands) {
    if (const auto* const one = std::get_if<ValueId>(&operand.of)) tensors.push_back(*one);
    if (const auto* const list = std::get_if<std::vector<ValueId>>(&operand.of)) {
      tensors.insert(tensors.end(), list->begin(), list->end());
    }
  }
  return tensors;
}

std::string NameOf(const Node& node) {
  return node.place.empty() ? node.op : absl::StrCat(node.op, " at ", node.place);
}

std::optional<ConvolutionForm> FormOf(const Node& convolution) {
  ConvolutionForm form;
  if (OperatorOf(convolution).axes == AxisRule::kTransposedConvolution) {
    form.groups_operand = 6;
    form.transposed = true;
  } else if (convolution.op == "aten::_convolution" || convolution.op == "aten::convolution") {
    const auto transposed = NumberAt(convolution, 6);
    if (!transposed) return std::nullopt;
    form.groups_operand = 8;
    form.transposed = *transposed != 0;
  } else {
    form.groups_operand = 6;
  }
  // Left out, it is the schema's default.
  if (form.groups_operand >= convolution.operands.size()) return form;
  const auto groups = IntAt(convolution, form.groups_operand);
  if (!groups) return std::nullopt;
  form.groups = *groups;
  return form;
}

}  // namespace sluice::graph
