#include "models/zoo/densenet.h"

#include <torch/nn/modules/linear.h>

#include <string>
#include <vector>

#include "models/zoo/batch_norm.h"
#include "models/zoo/convolution.h"
#include "models/zoo/image_shape.h"

namespace sluice {
namespace {

constexpr int64_t kGrowth = 32;  // channels that a layer adds
constexpr int kLayers[] = {6, 12, 24, 16};

class DenseLayer : public torch::nn::Module {
 public:
  explicit DenseLayer(int64_t in)
      : bn1_(register_module("bn1", BatchNorm(in))),
        conv1_(register_module("conv1", Convolution(in, 4 * kGrowth, 1, 1))),
        bn2_(register_module("bn2", BatchNorm(4 * kGrowth))),
        conv2_(register_module("conv2", Convolution(4 * kGrowth, kGrowth, 3, 1))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return conv2_(bn2_(conv1_(bn1_(x).relu_())).relu_());
  }

 private:
  BatchNorm bn1_;
  torch::nn::Conv2d conv1_;
  BatchNorm bn2_;
  torch::nn::Conv2d conv2_;
};

class Transition : public torch::nn::Module {
 public:
  explicit Transition(int64_t in)
      : bn_(register_module("bn", BatchNorm(in))),
        conv_(register_module("conv", Convolution(in, in / 2, 1, 1))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return torch::avg_pool2d(conv_(bn_(x).relu_()), 2);
  }

 private:
  BatchNorm bn_;
  torch::nn::Conv2d conv_;
};

class Densenet : public Network {
 public:
  explicit Densenet(const ImageShape& image)
      : small_(image.small()),
        conv0_(register_module("conv0", small_ ? Convolution(image.channels, 2 * kGrowth, 3, 1)
                                               : Convolution(image.channels, 2 * kGrowth, 7, 2))),
        bn0_(register_module("bn0", BatchNorm(2 * kGrowth))) {
    int64_t channels = 2 * kGrowth;
    for (size_t block = 0; block < std::size(kLayers); ++block) {
      const std::string number = std::to_string(block + 1);
      auto& layers = blocks_.emplace_back();
      for (int layer = 1; layer <= kLayers[block]; ++layer) {
        layers.push_back(register_module("block" + number + "_" + std::to_string(layer),
                                         std::make_shared<DenseLayer>(channels)));
        channels += kGrowth;
      }
      if (block + 1 == std::size(kLayers)) break;
      transitions_.push_back(
          register_module("transition" + number, std::make_shared<Transition>(channels)));
      channels /= 2;
    }
    bn5_ = register_module("bn5", BatchNorm(channels));
    fc_ = register_module("fc", torch::nn::Linear(channels, image.classes));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = bn0_(conv0_(inputs[0])).relu_();
    if (!small_) x = torch::max_pool2d(x, 3, 2, 1);
    for (size_t block = 0; block < blocks_.size(); ++block) {
      for (const auto& layer : blocks_[block]) x = torch::cat({x, layer->forward(x)}, 1);
      if (block < transitions_.size()) x = transitions_[block]->forward(x);
    }
    return fc_(bn5_(x).relu_().mean({2, 3}));
  }

 private:
  const bool small_;
  torch::nn::Conv2d conv0_;
  BatchNorm bn0_;
  std::vector<std::vector<std::shared_ptr<DenseLayer>>> blocks_;
  std::vector<std::shared_ptr<Transition>> transitions_;
  BatchNorm bn5_{nullptr};
  torch::nn::Linear fc_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeDensenet121(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Densenet>(ImageShape(shape));
}

}  // namespace sluice
