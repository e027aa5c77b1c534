#include "models/zoo/transformer.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/embedding.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {

torch::Tensor CausalMask(int64_t positions, const torch::TensorOptions& options) {
  return torch::full({positions, positions}, -std::numeric_limits<float>::infinity(), options)
      .triu(1);
}

TransformerSizes TransformerSizes::Of(const proto::Model& model, TransformerSizes own) {
  if (model.width() > 0) own.width = model.width();
  if (model.depth() > 0) own.depth = model.depth();
  if (model.heads() > 0) own.heads = model.heads();
  return own;
}

absl::Status CheckHeads(const TransformerSizes& sizes) {
  if (sizes.width % sizes.heads == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "model.width is ", sizes.width, ": it must be a multiple of model.heads, ", sizes.heads));
}

TransformerLayer::TransformerLayer(int64_t width, int64_t heads, double dropout, Options options)
    : heads_(heads), dropout_(dropout), options_(options) {
  const auto norm = [&](const char* name) {
    return register_module(
        name, torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(options.epsilon)));
  };
  const bool first = options.norms == Norms::kFirst;
  if (first) ln1_ = norm("ln1");
  qkv_ = register_module("qkv", torch::nn::Linear(width, 3 * width));
  out_ = register_module("out", torch::nn::Linear(width, width));
  if (!first) ln1_ = norm("ln1");
  if (first) ln2_ = norm("ln2");
  fc1_ = register_module("fc1", torch::nn::Linear(width, 4 * width));
  fc2_ = register_module("fc2", torch::nn::Linear(4 * width, width));
  if (!first) ln2_ = norm("ln2");
}

torch::Tensor TransformerLayer::forward(const torch::Tensor& x, const torch::Tensor& mask) {
  if (options_.norms == Norms::kFirst) {
    const torch::Tensor attended = x + Attend(ln1_(x), mask);
    return attended + FeedForward(ln2_(attended));
  }
  const torch::Tensor attended = ln1_(x + Attend(x, mask));
  return ln2_(attended + FeedForward(attended));
}

torch::Tensor TransformerLayer::Attend(const torch::Tensor& x, const torch::Tensor& mask) {
  const int64_t n = x.size(0), positions = x.size(1), width = x.size(2);
  // 3 x n x heads x positions x width of a head
  const std::vector<torch::Tensor> qkv =
      qkv_(x).view({n, positions, 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4}).unbind();
  const double scale = 1 / std::sqrt(static_cast<double>(width / heads_));
  torch::Tensor scores = torch::matmul(qkv[0] * scale, qkv[1].transpose(-2, -1));
  if (mask.defined()) scores = scores + mask;
  const torch::Tensor weights = torch::dropout(scores.softmax(-1), dropout_, is_training());
  const torch::Tensor mixed =
      torch::matmul(weights, qkv[2]).transpose(1, 2).reshape({n, positions, width});
  return torch::dropout(out_(mixed), dropout_, is_training());
}

torch::Tensor TransformerLayer::FeedForward(const torch::Tensor& x) {
  return torch::dropout(fc2_(torch::gelu(fc1_(x), options_.gelu)), dropout_, is_training());
}

void InitTransformer(torch::nn::Module& module) {
  constexpr double kDeviation = 0.02;
  module.apply([](torch::nn::Module& part) {
    if (auto* const linear = part.as<torch::nn::Linear>()) {
      torch::nn::init::normal_(linear->weight, 0, kDeviation);
      if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
    } else if (auto* const embedding = part.as<torch::nn::Embedding>()) {
      torch::nn::init::normal_(embedding->weight, 0, kDeviation);
    }
  });
}

}  // namespace sluice
