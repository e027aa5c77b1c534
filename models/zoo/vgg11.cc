#include "models/zoo/vgg11.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

struct ConvolutionSize {
  int64_t channels;
  bool pool_after;
};

constexpr ConvolutionSize kConvolutions[] = {{64, true},   {128, true}, {256, false}, {256, true},
                                             {512, false}, {512, true}, {512, false}, {512, false}};

class Vgg11 : public Network {
 public:
  Vgg11() {
    int64_t in = 1;
    for (size_t i = 0; i < std::size(kConvolutions); ++i) {
      const int64_t out = kConvolutions[i].channels;
      const std::string number = std::to_string(i + 1);
      convolutions_.push_back(register_module(
          "conv" + number, torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1))));
      norms_.push_back(register_module("bn" + number, torch::nn::BatchNorm2d(out)));
      in = out;
    }
    fc1_ = register_module("fc1", torch::nn::Linear(in, 4096));
    fc2_ = register_module("fc2", torch::nn::Linear(4096, 4096));
    fc3_ = register_module("fc3", torch::nn::Linear(4096, 10));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = inputs[0];
    for (size_t i = 0; i < convolutions_.size(); ++i) {
      x = norms_[i](convolutions_[i](x)).relu_();
      if (kConvolutions[i].pool_after) x = torch::max_pool2d(x, 2);
    }
    x = fc1_(x.flatten(1)).relu_();
    x = fc2_(x).relu_();
    return fc3_(x);
  }

 private:
  std::vector<torch::nn::Conv2d> convolutions_;
  std::vector<torch::nn::BatchNorm2d> norms_;
  torch::nn::Linear fc1_{nullptr}, fc2_{nullptr}, fc3_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeVgg11() { return std::make_shared<Vgg11>(); }

}  // namespace sluice
