#include "models/zoo/vit.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "models/zoo/image_shape.h"
#include "models/zoo/transformer.h"

namespace sluice {
namespace {

constexpr double kEpsilon = 1e-6;

TransformerSizes SizesOf(const proto::Model& model, const ImageShape& image) {
  return TransformerSizes::Of(
      model, image.small() ? TransformerSizes{192, 6, 3} : TransformerSizes{768, 12, 12});
}

int64_t PatchOf(const proto::Model& model, const ImageShape& image) {
  if (model.patch() > 0) return model.patch();
  return image.small() ? 4 : 16;
}

class Vit : public Network {
 public:
  Vit(const proto::Model& model, const DataShape& shape) : dropout_(model.dropout()) {
    const ImageShape image(shape);
    const TransformerSizes sizes = SizesOf(model, image);
    const int64_t patch = PatchOf(model, image);
    const int64_t patches = (image.height / patch) * (image.width / patch);
    embed_ = register_module(
        "embed", torch::nn::Conv2d(
                     torch::nn::Conv2dOptions(image.channels, sizes.width, patch).stride(patch)));
    class_token_ = register_parameter("class_token", torch::zeros({1, 1, sizes.width}));
    positions_ = register_parameter("positions", torch::zeros({1, patches + 1, sizes.width}));
    for (int64_t layer = 0; layer < sizes.depth; ++layer) {
      TransformerLayer::Options options;
      options.epsilon = kEpsilon;
      layers_.push_back(register_module(
          "layer" + std::to_string(layer),
          std::make_shared<TransformerLayer>(sizes.width, sizes.heads, dropout_, options)));
    }
    ln_ = register_module(
        "ln", torch::nn::LayerNorm(torch::nn::LayerNormOptions({sizes.width}).eps(kEpsilon)));
    head_ = register_module("head", torch::nn::Linear(sizes.width, image.classes));
    InitTransformer(*this);
    const double fan_in = static_cast<double>(image.channels * patch * patch);
    torch::nn::init::normal_(embed_->weight, 0, std::sqrt(1 / fan_in));
    torch::nn::init::zeros_(embed_->bias);
    torch::nn::init::normal_(positions_, 0, 0.02);
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = embed_(inputs[0]).flatten(2).transpose(1, 2);  // n x patches x width
    x = torch::cat({class_token_.expand({x.size(0), -1, -1}), x}, 1) + positions_;
    x = torch::dropout(x, dropout_, is_training());
    for (const auto& layer : layers_) x = layer->forward(x);
    return head_(ln_(x.select(1, 0)));
  }

 private:
  const double dropout_;
  torch::nn::Conv2d embed_{nullptr};
  torch::Tensor class_token_, positions_;
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  torch::nn::LayerNorm ln_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace

absl::Status CheckVit(const proto::Model& model, const DataShape& shape) {
  const ImageShape image(shape);
  const int64_t patch = PatchOf(model, image);
  if (image.height % patch != 0 || image.width % patch != 0) {
    return absl::InvalidArgumentError(absl::StrCat("model.patch is ", patch,
                                                   ": it does not divide images of ", image.height,
                                                   " x ", image.width, "; set one that does"));
  }
  return CheckHeads(SizesOf(model, image));
}

std::shared_ptr<Network> MakeVit(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Vit>(model, shape);
}

}  // namespace sluice
