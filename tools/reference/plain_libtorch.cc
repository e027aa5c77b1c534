// What a job's losses must be: the same model on the same global batches in one process, with
// nothing but LibTorch's own loop. Shares data, sampler and networks with Sluice, none of its
// training.
//
//   plain_libtorch --job=FILE [--steps=N]
//
// FILE is a job file; accumulation_steps is passed over: without batch norm it changes losses by rounding alone. What
// plain LibTorch does not have, or draws otherwise (lamb, local steps, phases, dropout), is refused. Prints one line {"step": 0, "loss": 2.30} per step; set OPENBLAS_NUM_THREADS=1
// as the workers have it.

#include <ATen/Parallel.h>
#include <ATen/ops/one_hot.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "models/data/batch_sampler.h"
#include "models/data/dataset.h"
#include "models/torch_guard.h"
#include "models/zoo/zoo.h"
#include "orchestrator/config/job_loader.h"
#include "proto/job.pb.h"

ABSL_FLAG(std::string, job, "", "job file");
ABSL_FLAG(int64_t, steps, 0, "steps to run; 0 = the job's");

namespace sluice {
namespace {

std::unique_ptr<torch::optim::Optimizer> Optimizer(const proto::Optimizer& settings,
                                                   std::vector<torch::Tensor> parameters) {
  if (settings.kind() == "adam") {
    return std::make_unique<torch::optim::Adam>(parameters,
                                                torch::optim::AdamOptions(settings.learning_rate())
                                                    .betas({settings.beta1(), settings.beta2()})
                                                    .eps(settings.epsilon())
                                                    .weight_decay(settings.weight_decay()));
  }
  if (settings.kind() == "adamw") {
    return std::make_unique<torch::optim::AdamW>(
        parameters, torch::optim::AdamWOptions(settings.learning_rate())
                        .betas({settings.beta1(), settings.beta2()})
                        .eps(settings.epsilon())
                        .weight_decay(settings.weight_decay()));
  }
  return std::make_unique<torch::optim::SGD>(parameters,
                                             torch::optim::SGDOptions(settings.learning_rate())
                                                 .momentum(settings.momentum())
                                                 .nesterov(settings.nesterov() == "on")
                                                 .weight_decay(settings.weight_decay()));
}

// Written anew from job.proto, not shared with training/schedule.h: a mistake there must show.
double Rate(const proto::JobConfig& job, int64_t step, int64_t total) {
  const proto::Schedule& schedule = job.schedule();
  const double rate = job.optimizer().learning_rate();
  const double after = static_cast<double>(step - schedule.warmup_steps());
  if (after < 0) return rate * (after + schedule.warmup_steps() + 1) / schedule.warmup_steps();
  if (schedule.kind() == "step") {
    return rate * std::pow(schedule.gamma(), std::floor(after / schedule.step_size()));
  }
  if (schedule.kind() == "constant") return rate;
  const double part = std::min(1.0, after / (total - schedule.warmup_steps()));
  const double low = rate * schedule.final_factor();
  const auto between = [](double from, double to, double x) {  // half a cosine
    return from + (to - from) * 0.5 * (1 - std::cos(M_PI * x));
  };
  if (schedule.kind() == "cosine") return between(rate, low, part);
  if (schedule.kind() == "polynomial") {
    return low + (rate - low) * std::pow(1 - part, schedule.power());
  }
  const double peak = schedule.peak_at();
  if (part < peak) return between(rate * schedule.start_factor(), rate, part / peak);
  return peak < 1 ? between(rate, low, (part - peak) / (1 - peak)) : low;
}

absl::Status Refuse(const proto::JobConfig& job) {
  std::string what;
  if (job.optimizer().kind() == "lamb") what = "optimizer.kind lamb";
  if (job.training().local_steps() > 1) what = "training.local_steps";
  if (job.optimizer().decay_exempt() != "none") what = "optimizer.decay_exempt";
  if (job.training().precision() != "fp32") what = "training.precision";
  if (job.model().dropout() > 0) what = "model.dropout";
  if (job.phases_size() > 0) what = "phases";
  if (what.empty()) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(what, ": there is no reference for it"));
}

// Mean over all predictions; of mixup's samples with targets that are distributions.
torch::Tensor Loss(const torch::Tensor& logits, const Batch& batch, double smoothing) {
  const auto options = torch::nn::functional::CrossEntropyFuncOptions().label_smoothing(smoothing);
  if (!batch.weights.defined()) {
    return torch::nn::functional::cross_entropy(logits.flatten(0, -2), batch.targets.flatten(),
                                                options);
  }
  const torch::Tensor w = batch.weights.unsqueeze(1);
  return torch::nn::functional::cross_entropy(
      logits,
      w * at::one_hot(batch.targets, logits.size(1)) +
          (1 - w) * at::one_hot(batch.mixed_targets, logits.size(1)),
      options);
}

absl::Status Run(const proto::JobConfig& job, int64_t steps) {
  const absl::Status refused = Refuse(job);
  if (!refused.ok()) return refused;
  const auto data = LoadDatasets(job.data());
  if (!data.ok()) return data.status();
  auto sampler = BatchSampler::Create(job.training().seed(), data->train->size(),
                                      job.training().global_batch());
  if (!sampler.ok()) return sampler.status();
  auto network = BuildNetwork(job.model(), data->train->shape(), job.training().seed());
  if (!network.ok()) return network.status();
  return TorchGuard("plain LibTorch", [&]() -> absl::Status {
    at::set_num_threads(std::max(1, job.training().threads()));
    const auto optimizer = Optimizer(job.optimizer(), (*network)->parameters());
    const int64_t total = job.training().steps() > 0 ? job.training().steps()
                                                     : sampler->StepsOf(job.training().epochs());
    for (int64_t step = 0; step < (steps > 0 ? steps : total); ++step) {
      const Augmentation augmentation{RandomKey(job.training().seed()).With("augmentation"),
                                      step * job.training().global_batch()};
      const auto batch = data->train->Make(sampler->GlobalBatch(Step(step)), augmentation);
      if (!batch.ok()) return batch.status();
      for (auto& group : optimizer->param_groups()) group.options().set_lr(Rate(job, step, total));
      optimizer->zero_grad();
      const torch::Tensor loss =
          Loss((*network)->forward(batch->inputs), *batch, job.training().label_smoothing());
      loss.backward();
      if (job.optimizer().clip_norm() > 0) {
        torch::nn::utils::clip_grad_norm_((*network)->parameters(), job.optimizer().clip_norm());
      }
      optimizer->step();
      std::printf("{\"step\": %lld, \"loss\": %.9g}\n", static_cast<long long>(step),
                  loss.item<double>());
    }
    return absl::OkStatus();
  });
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("prints a job's losses as plain LibTorch has them");
  absl::ParseCommandLine(argc, argv);
  const auto job = sluice::LoadJob(absl::GetFlag(FLAGS_job), {});
  const absl::Status status =
      job.ok() ? sluice::Run(*job, absl::GetFlag(FLAGS_steps)) : job.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "plain_libtorch: %s\n", std::string(status.message()).c_str());
  return 1;
}
