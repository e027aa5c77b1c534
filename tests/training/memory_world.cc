#include "tests/training/memory_world.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/status_macros.h"
#include "tests/models/data/synthetic_idx.h"

namespace sluice {

MemorySink::MemorySink(const std::vector<ParameterInfo>& parameters) {
  for (const ParameterInfo& parameter : parameters) {
    int64_t elements = 1;
    for (int64_t size : parameter.shape) elements *= size;
    gradients_.emplace_back(elements);
  }
  at_ready_.resize(gradients_.size());
}

void MemorySink::Ready(int index) {
  ready_.push_back(index);
  at_ready_[index] = gradients_[index];
}

absl::Status MemorySink::Forget(absl::Span<const ElementRun> runs) {
  forgotten_.insert(forgotten_.end(), runs.begin(), runs.end());
  return absl::OkStatus();
}

void MemorySink::BeginStep() {
  ready_.clear();
  for (auto& gradient : gradients_) std::fill(gradient.begin(), gradient.end(), 0.0f);
}

absl::StatusOr<std::unique_ptr<MemoryWorld>> MemoryWorld::Create(const proto::JobConfig& job,
                                                                 int world_size,
                                                                 const TrainerMaker& make) {
  auto world = std::make_unique<MemoryWorld>();
  for (int r = 0; r < world_size; ++r) {
    SLUICE_ASSIGN_OR_RETURN(auto trainer, make(job, Rank(r), world_size));
    world->sinks_.push_back(std::make_unique<MemorySink>(trainer->parameters()));
    trainer->Attach(*world->sinks_.back());
    world->trainers_.push_back(std::move(trainer));
  }
  return world;
}

absl::StatusOr<double> MemoryWorld::RunStep(Step step) {
  double loss = 0;
  for (int r = 0; r < size(); ++r) {
    sink(r).BeginStep();
    SLUICE_ASSIGN_OR_RETURN(const double part, trainer(r).ForwardBackward(step));
    loss += part;
  }
  for (size_t i = 0; size() > 1 && i < sink(0).gradients().size(); ++i) {
    const int index = static_cast<int>(i);
    for (size_t e = 0; e < sink(0).gradient(index).size(); ++e) {
      float sum = 0;
      for (int r = 0; r < size(); ++r) sum += sink(r).gradient(index)[e];
      for (int r = 0; r < size(); ++r) sink(r).gradient(index)[e] = sum / size();
    }
  }
  for (int r = 0; r < size(); ++r) SLUICE_RETURN_IF_ERROR(trainer(r).ApplyGradients(step));
  return loss;
}

proto::JobConfig SyntheticJob() {
  proto::JobConfig job;
  job.set_name("synthetic");
  job.mutable_model()->set_name("cnn");
  job.mutable_data()->set_dataset("fashion_mnist");
  job.mutable_data()->set_path(WriteSyntheticFashionMnist(FreshDirectory("synthetic"), 512, 43));
  job.mutable_data()->set_prefetch_batches(2);
  job.mutable_data()->set_threads(1);
  job.mutable_training()->set_global_batch(16);
  job.mutable_training()->set_steps(50);
  job.mutable_training()->set_epochs(2);
  job.mutable_training()->set_seed(1);
  job.mutable_training()->set_threads(1);
  job.mutable_training()->set_accumulation_steps(1);
  job.mutable_training()->set_local_steps(1);
  job.mutable_training()->set_precision("fp32");
  job.mutable_optimizer()->set_kind("sgd");
  job.mutable_optimizer()->set_learning_rate(0.02);
  job.mutable_optimizer()->set_momentum(0.9);
  job.mutable_optimizer()->set_beta1(0.9);
  job.mutable_optimizer()->set_beta2(0.999);
  job.mutable_optimizer()->set_epsilon(1e-8);
  job.mutable_optimizer()->set_nesterov("off");
  job.mutable_optimizer()->set_decay_exempt("none");
  job.mutable_schedule()->set_kind("constant");
  job.mutable_schedule()->set_step_size(1000);
  job.mutable_schedule()->set_gamma(0.1);
  job.mutable_schedule()->set_power(1);
  job.mutable_schedule()->set_start_factor(0.04);
  job.mutable_schedule()->set_peak_at(0.3);
  return job;
}

std::string FreshDirectory(const std::string& name) {
  const char* const root = std::getenv("TEST_TMPDIR");
  const std::string path = std::string(root != nullptr ? root : "/tmp") + "/" + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace sluice
