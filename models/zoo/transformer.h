#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cstdint>

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace sluice {

struct TransformerSizes {
  int64_t width, depth, heads;
  /// `own`, but for what the job's model sets.
  static TransformerSizes Of(const proto::Model& model, TransformerSizes own);
};

/// \error kInvalidArgument  heads do not divide the width
absl::Status CheckHeads(const TransformerSizes& sizes);

/// One layer: attention of several heads over all positions, then two linear layers of 4 x width with a GELU between
/// them, each added to its input.
///
///     first (vit, gpt)   x + f(norm(x))
///     last (bert)        norm(x + f(x))
///
/// 12 width^2 + 13 width parameters. Tensors are registered in the order of forward.
/// Source: Vaswani et al., 2017, "Attention is all you need"; norms first as in GPT-2.
class TransformerLayer : public torch::nn::Module {
 public:
  enum class Norms { kFirst, kLast };
  struct Options {
    Norms norms = Norms::kFirst;
    const char* gelu = "none";  ///< torch's `approximate`: "none" or "tanh"
    double epsilon = 1e-5;      ///< of the norms
  };

  /// \pre width is a multiple of heads
  TransformerLayer(int64_t width, int64_t heads, double dropout, Options options);

  /// \param x     n x positions x width
  /// \param mask  added to the scores: positions x positions, -inf where one may not look; undefined = none
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& mask = {});

  /// The two linear layers whose outputs are added to the way around.
  torch::nn::Linear& attention_out() { return out_; }
  torch::nn::Linear& feed_forward_out() { return fc2_; }

 private:
  torch::Tensor Attend(const torch::Tensor& x, const torch::Tensor& mask);
  torch::Tensor FeedForward(const torch::Tensor& x);

  const int64_t heads_;
  const double dropout_;
  const Options options_;
  torch::nn::LayerNorm ln1_{nullptr}, ln2_{nullptr};
  torch::nn::Linear qkv_{nullptr}, out_{nullptr}, fc1_{nullptr}, fc2_{nullptr};
};

/// A mask by which a position attends to itself and those before it.
torch::Tensor CausalMask(int64_t positions, const torch::TensorOptions& options);

/// Draws the weights of all linear layers and embeddings in `module` from N(0, 0.02^2) and zeroes biases, as GPT-2,
/// BERT and ViT start.
void InitTransformer(torch::nn::Module& module);

}  // namespace sluice
