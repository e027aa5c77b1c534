#include "models/zoo/cnn.h"

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "models/zoo/image_shape.h"

namespace sluice {
namespace {

torch::nn::Conv2d Convolution(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

class Cnn : public Network {
 public:
  explicit Cnn(const ImageShape& image)
      : conv1_(register_module("conv1", Convolution(image.channels, 32))),
        conv2_(register_module("conv2", Convolution(32, 64))),
        conv3_(register_module("conv3", Convolution(64, 128))),
        conv4_(register_module("conv4", Convolution(128, 192))),
        fc1_(register_module("fc1",
                             torch::nn::Linear(192 * (image.height / 8) * (image.width / 8), 512))),
        fc2_(register_module("fc2", torch::nn::Linear(512, image.classes))) {}

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = inputs[0];
    x = torch::max_pool2d(conv1_(x), 2).relu_();
    x = torch::max_pool2d(conv2_(x), 2).relu_();
    x = torch::max_pool2d(conv3_(x), 2).relu_();
    x = conv4_(x).relu_();
    x = fc1_(x.flatten(1)).relu_();
    return fc2_(x);
  }

 private:
  torch::nn::Conv2d conv1_, conv2_, conv3_, conv4_;
  torch::nn::Linear fc1_, fc2_;
};

}  // namespace

std::shared_ptr<Network> MakeCnn(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Cnn>(ImageShape(shape));
}

}  // namespace sluice
