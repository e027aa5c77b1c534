#include "models/zoo/resnet18.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

torch::nn::Conv2d Convolution(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

class BasicBlock : public torch::nn::Module {
 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride)
      : conv1_(register_module("conv1", Convolution(in, out, 3, stride))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(out))),
        conv2_(register_module("conv2", Convolution(out, out, 3, 1))),
        bn2_(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (stride != 1 || in != out) {
      down_ = register_module("down", torch::nn::Sequential(Convolution(in, out, 1, stride),
                                                            torch::nn::BatchNorm2d(out)));
    }
  }

  torch::Tensor forward(torch::Tensor x) {
    const torch::Tensor straight = down_ ? down_->forward(x) : x;
    x = bn1_(conv1_(x)).relu_();
    return bn2_(conv2_(x)).add_(straight).relu_();
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  torch::nn::Conv2d conv2_;
  torch::nn::BatchNorm2d bn2_;
  torch::nn::Sequential down_{nullptr};
};

class Resnet18 : public Network {
 public:
  Resnet18()
      : conv1_(register_module("conv1", Convolution(1, 64, 3, 1))),
        bn1_(register_module("bn1", torch::nn::BatchNorm2d(64))) {
    int64_t in = 64;
    for (int stage = 1; stage <= 4; ++stage) {
      const int64_t out = 32 << stage;
      for (int block = 0; block < 2; ++block) {
        const int64_t stride = stage > 1 && block == 0 ? 2 : 1;
        blocks_.push_back(
            register_module("layer" + std::to_string(stage) + "_" + std::to_string(block),
                            std::make_shared<BasicBlock>(in, out, stride)));
        in = out;
      }
    }
    fc_ = register_module("fc", torch::nn::Linear(512, 10));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = inputs[0];
    x = bn1_(conv1_(x)).relu_();
    for (const auto& block : blocks_) x = block->forward(x);
    return fc_(x.mean({2, 3}));
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d bn1_;
  std::vector<std::shared_ptr<BasicBlock>> blocks_;
  torch::nn::Linear fc_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeResnet18() { return std::make_shared<Resnet18>(); }

}  // namespace sluice
