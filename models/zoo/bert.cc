#include "models/zoo/bert.h"

#include <torch/nn/modules/embedding.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "models/zoo/transformer.h"

namespace sluice {
namespace {

constexpr double kEpsilon = 1e-12;

TransformerSizes SizesOf(const proto::Model& model) {
  return TransformerSizes::Of(model, {256, 4, 4});
}

class Bert : public Network {
 public:
  Bert(const proto::Model& model, const DataShape& shape)
      : per_position_(shape.target_per_position), dropout_(model.dropout()) {
    const TransformerSizes sizes = SizesOf(model);
    const auto norm = [&](const char* name) {
      return register_module(
          name, torch::nn::LayerNorm(torch::nn::LayerNormOptions({sizes.width}).eps(kEpsilon)));
    };
    tokens_ = register_module("tokens", torch::nn::Embedding(shape.classes, sizes.width));
    positions_ = register_module("positions", torch::nn::Embedding(shape.input[0], sizes.width));
    ln_ = norm("ln");
    TransformerLayer::Options options;
    options.norms = TransformerLayer::Norms::kLast;
    options.epsilon = kEpsilon;
    for (int64_t layer = 0; layer < sizes.depth; ++layer) {
      layers_.push_back(register_module(
          "layer" + std::to_string(layer),
          std::make_shared<TransformerLayer>(sizes.width, sizes.heads, dropout_, options)));
    }
    dense_ = register_module("dense", torch::nn::Linear(sizes.width, sizes.width));
    if (per_position_) {
      ln_out_ = norm("ln_out");
      bias_ = register_parameter("bias", torch::zeros({shape.classes}));
    } else {
      classes_ = register_module("classes", torch::nn::Linear(sizes.width, shape.classes));
    }
    InitTransformer(*this);
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    const torch::Tensor places = torch::arange(inputs[0].size(1), inputs[0].options());
    torch::Tensor x =
        torch::dropout(ln_(tokens_(inputs[0]) + positions_(places)), dropout_, is_training());
    for (const auto& layer : layers_) x = layer->forward(x);
    if (per_position_) {
      return torch::linear(ln_out_(torch::gelu(dense_(x))), tokens_->weight, bias_);
    }
    x = torch::dropout(torch::tanh(dense_(x.select(1, 0))), dropout_, is_training());
    return classes_(x);
  }

 private:
  const bool per_position_;
  const double dropout_;
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr};
  torch::nn::LayerNorm ln_{nullptr}, ln_out_{nullptr};
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  torch::nn::Linear dense_{nullptr}, classes_{nullptr};
  torch::Tensor bias_;
};

}  // namespace

std::shared_ptr<Network> MakeBert(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Bert>(model, shape);
}

absl::Status CheckBert(const proto::Model& model, const DataShape& shape) {
  return CheckHeads(SizesOf(model));
}

}  // namespace sluice
