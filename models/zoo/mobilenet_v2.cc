#include "models/zoo/mobilenet_v2.h"

#include <torch/nn/modules/linear.h>

#include <string>
#include <vector>

#include "models/zoo/batch_norm.h"
#include "models/zoo/convolution.h"
#include "models/zoo/image_shape.h"

namespace sluice {
namespace {

struct Stage {
  int64_t expansion, channels;
  int blocks;
  int64_t stride;
};

constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
constexpr int64_t kStem = 32, kLast = 1280;

torch::Tensor Relu6(const torch::Tensor& x) { return torch::hardtanh(x, 0, 6); }

class InvertedResidual : public torch::nn::Module {
 public:
  InvertedResidual(int64_t in, int64_t out, int64_t stride, int64_t expansion)
      : residual_(stride == 1 && in == out) {
    const int64_t inner = in * expansion;
    if (expansion > 1) {
      expand_ = register_module("expand", Convolution(in, inner, 1, 1));
      bn_expand_ = register_module("bn_expand", BatchNorm(inner));
    }
    depthwise_ = register_module("depthwise", Convolution(inner, inner, 3, stride, inner));
    bn_depthwise_ = register_module("bn_depthwise", BatchNorm(inner));
    project_ = register_module("project", Convolution(inner, out, 1, 1));
    bn_project_ = register_module("bn_project", BatchNorm(out));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    torch::Tensor x = input;
    if (expand_) x = Relu6(bn_expand_(expand_(x)));
    x = Relu6(bn_depthwise_(depthwise_(x)));
    x = bn_project_(project_(x));
    return residual_ ? x + input : x;
  }

 private:
  const bool residual_;
  torch::nn::Conv2d expand_{nullptr}, depthwise_{nullptr}, project_{nullptr};
  BatchNorm bn_expand_{nullptr}, bn_depthwise_{nullptr}, bn_project_{nullptr};
};

class MobilenetV2 : public Network {
 public:
  MobilenetV2(double dropout, const ImageShape& image)
      : dropout_(dropout),
        conv1_(
            register_module("conv1", Convolution(image.channels, kStem, 3, image.small() ? 1 : 2))),
        bn1_(register_module("bn1", BatchNorm(kStem))) {
    int64_t in = kStem;
    for (size_t s = 0; s < std::size(kStages); ++s) {
      const Stage& stage = kStages[s];
      for (int block = 0; block < stage.blocks; ++block) {
        const bool halve = block == 0 && stage.stride == 2 && !(image.small() && s == 1);
        blocks_.push_back(
            register_module("stage" + std::to_string(s + 1) + "_" + std::to_string(block),
                            std::make_shared<InvertedResidual>(in, stage.channels, halve ? 2 : 1,
                                                               stage.expansion)));
        in = stage.channels;
      }
    }
    conv2_ = register_module("conv2", Convolution(in, kLast, 1, 1));
    bn2_ = register_module("bn2", BatchNorm(kLast));
    fc_ = register_module("fc", torch::nn::Linear(kLast, image.classes));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = Relu6(bn1_(conv1_(inputs[0])));
    for (const auto& block : blocks_) x = block->forward(x);
    x = Relu6(bn2_(conv2_(x))).mean({2, 3});
    return fc_(torch::dropout(x, dropout_, is_training()));
  }

 private:
  const double dropout_;
  torch::nn::Conv2d conv1_;
  BatchNorm bn1_;
  std::vector<std::shared_ptr<InvertedResidual>> blocks_;
  torch::nn::Conv2d conv2_{nullptr};
  BatchNorm bn2_{nullptr};
  torch::nn::Linear fc_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeMobilenetV2(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<MobilenetV2>(model.dropout(), ImageShape(shape));
}

}  // namespace sluice
