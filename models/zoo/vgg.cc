#include "models/zoo/vgg.h"

#include <torch/nn/functional/pooling.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "models/zoo/batch_norm.h"
#include "models/zoo/image_shape.h"

namespace sluice {
namespace {

constexpr int64_t kPooled = 7;  // pixels on a side before fc1, where the image is large enough

class Vgg : public Network {
 public:
  /// \param stages  number of convolutions in each
  Vgg(std::array<int, 5> stages, double dropout, const ImageShape& image)
      : dropout_(dropout), small_(image.small()) {
    int64_t in = image.channels, out = 64, height = image.height, width = image.width;
    for (int convolutions : stages) {
      for (int i = 0; i < convolutions; ++i) {
        const std::string number = std::to_string(convolutions_.size() + 1);
        convolutions_.push_back(register_module(
            "conv" + number, torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1))));
        norms_.push_back(register_module("bn" + number, BatchNorm(out)));
        pool_after_.push_back(false);
        in = out;
      }
      if (std::min(height, width) >= 2) {
        pool_after_.back() = true;
        height /= 2;
        width /= 2;
      }
      out = std::min<int64_t>(2 * out, 512);
    }
    if (!small_) height = width = kPooled;
    fc1_ = register_module("fc1", torch::nn::Linear(in * height * width, 4096));
    fc2_ = register_module("fc2", torch::nn::Linear(4096, 4096));
    fc3_ = register_module("fc3", torch::nn::Linear(4096, image.classes));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = inputs[0];
    for (size_t i = 0; i < convolutions_.size(); ++i) {
      x = norms_[i](convolutions_[i](x)).relu_();
      if (pool_after_[i]) x = torch::max_pool2d(x, 2);
    }
    if (!small_) x = torch::adaptive_avg_pool2d(x, {kPooled, kPooled});
    x = torch::dropout(fc1_(x.flatten(1)).relu_(), dropout_, is_training());
    x = torch::dropout(fc2_(x).relu_(), dropout_, is_training());
    return fc3_(x);
  }

 private:
  const double dropout_;
  const bool small_;
  std::vector<torch::nn::Conv2d> convolutions_;
  std::vector<BatchNorm> norms_;
  std::vector<bool> pool_after_;
  torch::nn::Linear fc1_{nullptr}, fc2_{nullptr}, fc3_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeVgg11(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Vgg>(std::array{1, 1, 2, 2, 2}, model.dropout(), ImageShape(shape));
}

std::shared_ptr<Network> MakeVgg16(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Vgg>(std::array{2, 2, 3, 3, 3}, model.dropout(), ImageShape(shape));
}

}  // namespace sluice
