// A training loop on LibTorch, made distributed: the lines that end in [n] are all that differs from the loop for one
// process. docs/library.md explains them.
//
//   bazel build //examples/library:plain_loop //orchestrator
//   bazel-bin/orchestrator/orchestrator run -np 2 -- bazel-bin/examples/library/plain_loop

#include <torch/torch.h>

#include <cstdio>

#include "training/sluice.h"  // [1]

namespace {

// Points of the plane in two classes: inside a ring or not.
torch::Tensor Points(int64_t count) { return torch::rand({count, 2}) * 2 - 1; }

torch::Tensor Classes(const torch::Tensor& points) {
  const torch::Tensor radius = points.norm(2, 1);
  return radius.gt(0.4).logical_and(radius.lt(0.8)).to(torch::kLong);
}

}  // namespace

int main() {
  auto session = sluice::Session::Join();                        // [2]
  if (!session.ok()) return sluice::Complain(session.status());  // [3]

  torch::manual_seed(1);  // the same data everywhere, in the same order
  const torch::Tensor points = Points(8192);
  const torch::Tensor classes = Classes(points);
  torch::nn::Sequential model(torch::nn::Linear(2, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 64), torch::nn::Tanh(),
                              torch::nn::Linear(64, 2));
  torch::optim::SGD sgd(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  absl::Status status = sluice::BroadcastParameters(**session, *model, 0);        // [4]
  auto optimizer = sluice::DistributedOptimizer::Create(**session, sgd, *model);  // [5]
  if (!optimizer.ok()) return (*session)->Leave(optimizer.status());              // [6]

  const int64_t batch = 256;
  double last_loss = 0;
  for (int epoch = 0; epoch < 10; ++epoch) {
    for (int64_t first = 0; status.ok() && first + batch <= points.size(0); first += batch) {
      // This rank's share of the batch: all of it in the loop for one process.
      const auto [begin, end] = (*session)->Share(first, first + batch);  // [7]
      const torch::Tensor output = model->forward(points.slice(0, begin, end));
      const torch::Tensor loss =
          torch::nn::functional::cross_entropy(output, classes.slice(0, begin, end));
      sgd.zero_grad();
      loss.backward();
      last_loss = loss.item<double>();
      if (status = (*optimizer)->Step(last_loss); !status.ok()) break;  // [8]
    }
  }
  std::printf("loss %.4f\n", last_loss);
  return (*session)->Leave(status);  // [9]
}
