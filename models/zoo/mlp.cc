#include "models/zoo/mlp.h"

#include <torch/nn/modules/linear.h>

#include <functional>
#include <numeric>
#include <string>

namespace sluice {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

class Mlp : public Network {
 public:
  Mlp(const proto::Model& model, const DataShape& shape) : dropout_(model.dropout()) {
    const int64_t width = model.width() > 0 ? model.width() : 512;
    const int depth = model.depth() > 0 ? model.depth() : 2;
    int64_t in = Elements(shape.input);
    for (const auto& more : shape.more_inputs) in += Elements(more);
    for (int layer = 1; layer <= depth; ++layer) {
      hidden_.push_back(
          register_module("fc" + std::to_string(layer), torch::nn::Linear(in, width)));
      in = width;
    }
    out_ = register_module("fc" + std::to_string(depth + 1), torch::nn::Linear(in, shape.classes));
  }

  torch::Tensor forward(const std::vector<torch::Tensor>& inputs) override {
    std::vector<torch::Tensor> flat;
    for (const torch::Tensor& input : inputs) flat.push_back(input.flatten(1));
    torch::Tensor x = torch::cat(flat, 1);
    for (auto& layer : hidden_) x = torch::dropout(layer(x).relu_(), dropout_, is_training());
    return out_(x);
  }

 private:
  const double dropout_;
  std::vector<torch::nn::Linear> hidden_;
  torch::nn::Linear out_{nullptr};
};

}  // namespace

std::shared_ptr<Network> MakeMlp(const proto::Model& model, const DataShape& shape) {
  return std::make_shared<Mlp>(model, shape);
}

}  // namespace sluice
