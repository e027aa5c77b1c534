// The step loop against plain LibTorch, written here without any of training/.

#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "gtest/gtest.h"
#include "models/data/batch_sampler.h"
#include "models/data/dataset.h"
#include "models/zoo/zoo.h"
#include "tests/training/memory_world.h"

namespace sluice {
namespace {

std::vector<double> PlainLosses(const proto::JobConfig& job, int64_t steps) {
  const Datasets data = *LoadDatasets(job.data());
  BatchSampler sampler = *BatchSampler::Create(job.training().seed(), data.train->size(),
                                               job.training().global_batch());
  const auto network = *BuildNetwork(job.model(), data.train->shape(), job.training().seed());
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  if (job.optimizer().kind() == "sgd") {
    optimizer = std::make_unique<torch::optim::SGD>(
        network->parameters(), torch::optim::SGDOptions(job.optimizer().learning_rate())
                                   .momentum(job.optimizer().momentum())
                                   .weight_decay(job.optimizer().weight_decay()));
  } else {
    optimizer = std::make_unique<torch::optim::Adam>(
        network->parameters(), torch::optim::AdamOptions(job.optimizer().learning_rate()));
  }
  std::vector<double> losses;
  for (int64_t s = 0; s < steps; ++s) {
    const Batch batch = *data.train->Make(sampler.GlobalBatch(Step(s)), std::nullopt);
    optimizer->zero_grad();
    const torch::Tensor loss =
        torch::nn::functional::cross_entropy(network->forward(batch.inputs), batch.targets);
    loss.backward();
    optimizer->step();
    losses.push_back(loss.item<double>());
  }
  return losses;
}

void ExpectCloseLosses(const std::vector<double>& expected, MemoryWorld& world) {
  double worst = 0;
  for (size_t s = 0; s < expected.size(); ++s) {
    const auto loss = world.RunStep(Step(static_cast<int64_t>(s)));
    ASSERT_TRUE(loss.ok()) << loss.status();
    const double error = std::abs(*loss - expected[s]) / expected[s];
    worst = std::max(worst, error);
    EXPECT_LE(error, 1e-5) << "step " << s << ": " << *loss << " against " << expected[s];
  }
  std::printf("worst relative error: %g; last loss %g\n", worst, expected.back());
}

TEST(Reference, AWorldOfOneHasTheLossesOfPlainLibTorch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_weight_decay(1e-4);
  const auto world = *MemoryWorld::Create(job, 1);
  ExpectCloseLosses(PlainLosses(job, 50), *world);
}

TEST(Reference, AWorldOfOneHasTheLossesOfPlainLibTorchWithAdam) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_kind("adam");
  job.mutable_optimizer()->set_learning_rate(1e-3);
  const auto world = *MemoryWorld::Create(job, 1);
  ExpectCloseLosses(PlainLosses(job, 30), *world);
}

TEST(Reference, AWorldOfFourHasTheLossesOfPlainLibTorch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_learning_rate(0.05);
  const auto world = *MemoryWorld::Create(job, 4);
  ExpectCloseLosses(PlainLosses(job, 30), *world);
  for (int r = 1; r < 4; ++r) {
    EXPECT_EQ(world->trainer(r).ParameterChecksum(), world->trainer(0).ParameterChecksum()) << r;
  }
}

TEST(Reference, UnequalSlicesHaveTheLossesOfPlainLibTorch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_global_batch(19);
  job.mutable_optimizer()->set_learning_rate(0.05);
  const auto world = *MemoryWorld::Create(job, 4);  // 4, 5, 5 and 5 samples
  ExpectCloseLosses(PlainLosses(job, 20), *world);
}

TEST(Reference, FashionMnistHasTheLossesOfPlainLibTorch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_data()->set_path("/usr/share/datasets/fashion-mnist");
  const auto world = *MemoryWorld::Create(job, 2);
  ExpectCloseLosses(PlainLosses(job, 20), *world);
}

}  // namespace
}  // namespace sluice
