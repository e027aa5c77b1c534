#include "models/zoo/gpt.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/embedding.h>
#include <torch/types.h>

#include <cmath>
#include <string>
#include <vector>

#include "models/zoo/transformer.h"

namespace sluice {
namespace {

TransformerSizes SizesOf(const proto::Model& model) {
  return TransformerSizes::Of(model, {288, 8, 6});
}

class Gpt : public Network {
 public:
  Gpt(const proto::Model& model, const DataShape& shape) : dropout_(model.dropout()) {
    const TransformerSizes sizes = SizesOf(model);
    tokens_ = register_module("tokens", torch::nn::Embedding(shape.classes, sizes.width));
    positions_ = register_module("positions", torch::nn::Embedding(shape.input[0], sizes.width));
    TransformerLayer::Options options;
    options.gelu = "tanh";
    for (int64_t layer = 0; layer < sizes.depth; ++layer) {
      layers_.push_back(register_module(
          "layer" + std::to_string(layer),
          std::make_shared<TransformerLayer>(sizes.width, sizes.heads, dropout_, options)));
    }
    ln_ = register_module("ln", torch::nn::LayerNorm(torch::nn::LayerNormOptions({sizes.width})));
    InitTransformer(*this);
    const double deviation = 0.02 / std::sqrt(2.0 * static_cast<double>(sizes.depth));
    for (const auto& layer : layers_) {
      torch::nn::init::normal_(layer->attention_out()->weight, 0, deviation);
      torch::nn::init::normal_(layer->feed_forward_out()->weight, 0, deviation);
    }
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    const torch::Tensor places = torch::arange(inputs[0].size(1), inputs[0].options());
    torch::Tensor x =
        torch::dropout(tokens_(inputs[0]) + positions_(places), dropout_, is_training());
    const torch::Tensor mask = CausalMask(x.size(1), x.options());
    for (const auto& layer : layers_) x = layer->forward(x, mask);
    return torch::linear(ln_(x), tokens_->weight);
  }

 private:
  const double dropout_;
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr};
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  torch::nn::LayerNorm ln_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeGpt(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Gpt>(model, shape);
}

absl::Status CheckGpt(const proto::Model& model, const DataShape& shape) {
  if (shape.target_per_position) return CheckHeads(SizesOf(model));
  return absl::InvalidArgumentError(
      "model.name is \"gpt\": it predicts at every position, data.dataset has one target per "
      "sample");
}

}  // namespace sluice
