#include "models/zoo/resnet.h"

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <string>
#include <vector>

#include "models/zoo/batch_norm.h"
#include "models/zoo/convolution.h"
#include "models/zoo/image_shape.h"

namespace sluice {
namespace {

class Block : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(torch::Tensor x) = 0;

 protected:
  /// The way around the block: its input, or that in the shape of its output.
  torch::Tensor Around(const torch::Tensor& x) { return down_ ? down_->forward(x) : x; }
  void MakeWayAround(int64_t in, int64_t out, int64_t stride) {
    if (stride == 1 && in == out) return;
    down_ = register_module("down",
                            torch::nn::Sequential(Convolution(in, out, 1, stride), BatchNorm(out)));
  }

 private:
  torch::nn::Sequential down_{nullptr};
};

class BasicBlock : public Block {
 public:
  static constexpr int64_t kExpansion = 1;

  BasicBlock(int64_t in, int64_t channels, int64_t stride)
      : conv1_(register_module("conv1", Convolution(in, channels, 3, stride))),
        bn1_(register_module("bn1", BatchNorm(channels))),
        conv2_(register_module("conv2", Convolution(channels, channels, 3, 1))),
        bn2_(register_module("bn2", BatchNorm(channels))) {
    MakeWayAround(in, channels, stride);
  }

  torch::Tensor forward(torch::Tensor x) override {
    const torch::Tensor around = Around(x);
    x = bn1_(conv1_(x)).relu_();
    return bn2_(conv2_(x)).add_(around).relu_();
  }

 private:
  torch::nn::Conv2d conv1_;
  BatchNorm bn1_;
  torch::nn::Conv2d conv2_;
  BatchNorm bn2_;
};

class Bottleneck : public Block {
 public:
  static constexpr int64_t kExpansion = 4;

  Bottleneck(int64_t in, int64_t channels, int64_t stride)
      : conv1_(register_module("conv1", Convolution(in, channels, 1, 1))),
        bn1_(register_module("bn1", BatchNorm(channels))),
        conv2_(register_module("conv2", Convolution(channels, channels, 3, stride))),
        bn2_(register_module("bn2", BatchNorm(channels))),
        conv3_(register_module("conv3", Convolution(channels, kExpansion * channels, 1, 1))),
        bn3_(register_module("bn3", BatchNorm(kExpansion * channels))) {
    MakeWayAround(in, kExpansion * channels, stride);
  }

  torch::Tensor forward(torch::Tensor x) override {
    const torch::Tensor around = Around(x);
    x = bn1_(conv1_(x)).relu_();
    x = bn2_(conv2_(x)).relu_();
    return bn3_(conv3_(x)).add_(around).relu_();
  }

 private:
  torch::nn::Conv2d conv1_;
  BatchNorm bn1_;
  torch::nn::Conv2d conv2_;
  BatchNorm bn2_;
  torch::nn::Conv2d conv3_;
  BatchNorm bn3_;
};

template <class BlockType>
class Resnet : public Network {
 public:
  /// \param stages  number of blocks in each
  Resnet(std::array<int, 4> stages, const ImageShape& image)
      : small_(image.small()),
        conv1_(register_module("conv1", small_ ? Convolution(image.channels, 64, 3, 1)
                                               : Convolution(image.channels, 64, 7, 2))),
        bn1_(register_module("bn1", BatchNorm(64))) {
    int64_t in = 64;
    for (int stage = 1; stage <= 4; ++stage) {
      const int64_t channels = 32 << stage;
      for (int block = 0; block < stages[stage - 1]; ++block) {
        const int64_t stride = stage > 1 && block == 0 ? 2 : 1;
        blocks_.push_back(
            register_module("layer" + std::to_string(stage) + "_" + std::to_string(block),
                            std::make_shared<BlockType>(in, channels, stride)));
        in = BlockType::kExpansion * channels;
      }
    }
    fc_ = register_module("fc", torch::nn::Linear(in, image.classes));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    torch::Tensor x = inputs[0];
    x = bn1_(conv1_(x)).relu_();
    if (!small_) x = torch::max_pool2d(x, 3, 2, 1);
    for (const auto& block : blocks_) x = block->forward(x);
    return fc_(x.mean({2, 3}));
  }

 private:
  const bool small_;
  torch::nn::Conv2d conv1_;
  BatchNorm bn1_;
  std::vector<std::shared_ptr<BlockType>> blocks_;
  torch::nn::Linear fc_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeResnet18(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Resnet<BasicBlock>>(std::array{2, 2, 2, 2}, ImageShape(shape));
}

std::shared_ptr<Network> MakeResnet50(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Resnet<Bottleneck>>(std::array{3, 4, 6, 3}, ImageShape(shape));
}

}  // namespace sluice
