// The step loop against plain LibTorch, written here without any of training/.

#include <torch/nn/functional/loss.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
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
                                   .nesterov(job.optimizer().nesterov() == "on")
                                   .weight_decay(job.optimizer().weight_decay()));
  } else if (job.optimizer().kind() == "adamw") {
    optimizer = std::make_unique<torch::optim::AdamW>(
        network->parameters(), torch::optim::AdamWOptions(job.optimizer().learning_rate())
                                   .weight_decay(job.optimizer().weight_decay()));
  } else {
    optimizer = std::make_unique<torch::optim::Adam>(
        network->parameters(), torch::optim::AdamOptions(job.optimizer().learning_rate()));
  }
  std::vector<double> losses;
  for (int64_t s = 0; s < steps; ++s) {
    const Batch batch = *data.train->Make(sampler.GlobalBatch(Step(s)), std::nullopt);
    optimizer->zero_grad();
    const torch::Tensor loss = torch::nn::functional::cross_entropy(
        network->forward(batch.inputs), batch.targets,
        torch::nn::functional::CrossEntropyFuncOptions().label_smoothing(
            job.training().label_smoothing()));
    loss.backward();
    if (job.optimizer().clip_norm() > 0) {
      torch::nn::utils::clip_grad_norm_(network->parameters(), job.optimizer().clip_norm());
    }
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

TEST(Reference, AdamwWithSmoothLabelsAndClippedGradientsHasTheLossesOfPlainLibTorch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_kind("adamw");
  job.mutable_optimizer()->set_learning_rate(1e-3);
  job.mutable_optimizer()->set_weight_decay(0.05);
  job.mutable_optimizer()->set_clip_norm(0.5);
  job.mutable_training()->set_label_smoothing(0.1);
  const auto world = *MemoryWorld::Create(job, 2);
  ExpectCloseLosses(PlainLosses(job, 20), *world);
}

TEST(Reference, MicroBatchesWithNesterovHaveTheLossesOfPlainLibTorch) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_nesterov("on");
  job.mutable_training()->set_accumulation_steps(3);
  const auto world = *MemoryWorld::Create(job, 2);
  ExpectCloseLosses(PlainLosses(job, 20), *world);
}

// `ranks` networks, each with an optimiser that keeps its momentum; their weights are averaged after every
// job.training().local_steps() steps. Of the mean losses between two averages, the mean.
std::vector<double> PlainLocalLosses(const proto::JobConfig& job, int ranks, int64_t rounds) {
  const Datasets data = *LoadDatasets(job.data());
  const int64_t global_batch = job.training().global_batch();
  BatchSampler sampler =
      *BatchSampler::Create(job.training().seed(), data.train->size(), global_batch);
  std::vector<std::shared_ptr<Network>> networks;
  std::vector<std::unique_ptr<torch::optim::SGD>> optimizers;
  for (int r = 0; r < ranks; ++r) {
    networks.push_back(*BuildNetwork(job.model(), data.train->shape(), job.training().seed()));
    optimizers.push_back(std::make_unique<torch::optim::SGD>(
        networks.back()->parameters(), torch::optim::SGDOptions(job.optimizer().learning_rate())
                                           .momentum(job.optimizer().momentum())));
  }
  std::vector<double> losses;
  const int64_t local_steps = job.training().local_steps();
  for (int64_t round = 0; round < rounds; ++round) {
    losses.push_back(0);
    for (int64_t local = 0; local < local_steps; ++local) {
      for (int r = 0; r < ranks; ++r) {
        const auto all = sampler.GlobalBatch(Step(round * local_steps + local));
        const int64_t begin = global_batch * r / ranks, end = global_batch * (r + 1) / ranks;
        const Batch batch = *data.train->Make(all.subspan(begin, end - begin), std::nullopt);
        optimizers[r]->zero_grad();
        const torch::Tensor loss =
            torch::nn::functional::cross_entropy(networks[r]->forward(batch.inputs), batch.targets);
        loss.backward();
        optimizers[r]->step();
        losses.back() += loss.item<double>() * static_cast<double>(end - begin) /
                         static_cast<double>(global_batch * local_steps);
      }
    }
    const torch::NoGradGuard no_gradients;
    for (size_t p = 0; p < networks[0]->parameters().size(); ++p) {
      torch::Tensor mean = torch::zeros_like(networks[0]->parameters()[p]);
      for (const auto& network : networks) mean += network->parameters()[p] / ranks;
      for (const auto& network : networks) network->parameters()[p].copy_(mean);
    }
  }
  return losses;
}

TEST(Reference, LocalStepsHaveTheLossesOfPlainLocalSgd) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_local_steps(4);
  const auto world = *MemoryWorld::Create(job, 3);  // 5, 5 and 6 samples
  ExpectCloseLosses(PlainLocalLosses(job, 3, 6), *world);
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
