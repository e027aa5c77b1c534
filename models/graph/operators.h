#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "models/graph/graph.h"

namespace sluice::graph {

/// What an operator does to the dimensions of its tensors.
enum class AxisRule {
  kUnknown,      ///< nothing is known: all of its dimensions stay as they are
  kFactory,      ///< makes a tensor from constants
  kCopy,         ///< its first tensor, perhaps in another type or place
  kSame,         ///< element by element; dimensions of the first tensor
  kByPosition,   ///< the same, but what an element becomes depends on its indices
  kElementwise,  ///< broadcasts its tensors
  kLinear,
  kAddmm,
  kMatmul,
  kConvolution,
  kTransposedConvolution,
  kBatchNorm,  ///< batch and instance norm
  kGroupNorm,
  kLayerNorm,
  kPrelu,
  kEmbedding,
  kSpatial,  ///< changes the last dimensions (pooling, resizing)
  kPad,
  kAlong,             ///< same shape, but each element depends on all along a dimension (softmax)
  kSum,               ///< sums dimensions away: zeros add nothing
  kReduce,            ///< takes dimensions away otherwise (mean, max): zeros count
  kReshape,           ///< keeps the order of elements
  kReshapeByLiteral,  ///< the same, to a shape that is told as numbers
  kTransposeLast,     ///< aten::t
  kTranspose,
  kPermute,
  kExpand,
  kExpandAs,
  kCat,
  kStack,
  kChunk,
  kSplit,
  kSplitBySizes,
  kSlice,
  kSelect,
  kUnbind,
  kGlu,
  kPixelShuffle,
};

/// What an operator makes of zeros.
enum class ZeroRule {
  kAny,       ///< nothing can be said
  kKeeps,     ///< zero where its first tensor is
  kConstant,  ///< some constant where its first tensor is zero
  kAdd,       ///< zero where all of its tensors are, and its numbers
  kMultiply,  ///< zero where one of its tensors is
  kDivide,
  kSelects,     ///< aten::where: either of the last two tensors
  kMaskedFill,  ///< zero where its tensor is, if it fills with zero
  kClamp,       ///< zero stays if it is between the bounds
  kPower,
  kPads,
  kWeights,     ///< a layer: zero where its slices of weight and bias are
  kNormalises,  ///< the same, whatever the input is
};

/// What is known of one of LibTorch's operators.
struct Operator {
  absl::string_view name;  // "aten::relu"
  AxisRule axes = AxisRule::kUnknown;
  ZeroRule zeros = ZeroRule::kAny;
};

/// \return  with AxisRule::kUnknown if the operator is not in the table
const Operator& OperatorOf(const Node& node);

/// \name Operands: nullopt or -1 when operand `i` is absent or of another kind
/// @{
ValueId TensorAt(const Node& node, size_t i);
std::optional<int64_t> IntAt(const Node& node, size_t i);
std::optional<std::vector<int64_t>> IntsAt(const Node& node, size_t i);
/// A number: integer, double or bool.
std::optional<double> NumberAt(const Node& node, size_t i);
bool NoneAt(const Node& node, size_t i);
/// @}

/// All tensors that it reads, in the order of operands.
std::vector<ValueId> TensorsOf(const Node& node);

/// "aten::conv2d at SCOPE", for messages.
std::string NameOf(const Node& node);

/// Where a convolution has its number of groups among its operands, and whether it is transposed. nullopt if that is no
/// constant. \pre the rule is kConvolution or kTransposedConvolution
struct ConvolutionForm {
  size_t groups_operand = 0;
  int64_t groups = 1;
  bool transposed = false;
};
std::optional<ConvolutionForm> FormOf(const Node& convolution);

}  // namespace sluice::graph
