#include "training/trainer.h"

#include <ATen/Parallel.h>
#include <torch/enum.h>
#include <torch/nn/functional/loss.h>
#include <xxhash.h>

#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "models/data/batch_sampler.h"
#include "models/data/fashion_mnist.h"
#include "models/data/image_batch.h"
#include "models/data/prefetcher.h"
#include "models/torch_guard.h"
#include "models/zoo/zoo.h"
#include "training/checkpoint.h"
#include "training/evaluation.h"
#include "training/gradient_hooks.h"
#include "training/model_state.h"
#include "training/optimizer.h"
#include "training/schedule.h"

namespace sluice {
namespace {
constexpr char kModelFile[] = "model.pt";
constexpr char kOptimizerFile[] = "optimizer.pt";

// The count of inter-op threads can be set once per process, before any is started.
absl::Status LimitThreads(int threads) {
  return TorchGuard("limit LibTorch's threads", [&] {
    at::set_num_threads(threads);
    if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);
  });
}

struct Parts {
  proto::JobConfig job;
  Rank rank;
  int world_size;
  ImageSet train;
  ImageSet test;
  BatchSampler sampler;
  std::shared_ptr<Network>
      network;  // torch's modules want shared_ptr; the trainer is the only owner
  std::vector<NamedParameter> parameters;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
};

class TorchTrainer : public Trainer {
 public:
  explicit TorchTrainer(Parts parts)
      : parts_(std::move(parts)),
        total_steps_(TotalSteps(parts_.job.training(), parts_.sampler.steps_per_epoch())),
        batches_([this](int64_t step) { return MakeSlice(Step(step)); },
                 parts_.job.data().prefetch_batches()) {
    for (const NamedParameter& parameter : parts_.parameters) {
      infos_.push_back({parameter.name, parameter.tensor.sizes().vec()});
    }
  }

  const std::vector<ParameterInfo>& parameters() const override { return infos_; }

  void Attach(GradientSink& sink) override {
    SLUICE_CHECK(!hooks_.has_value(), "a trainer is attached to one sink, once");
    std::vector<at::Tensor> tensors;
    for (size_t i = 0; i < parts_.parameters.size(); ++i) {
      tensors.push_back(parts_.parameters[i].tensor);
      SLUICE_CHECK(
          static_cast<int64_t>(sink.gradient(static_cast<int>(i)).size()) == tensors.back().numel(),
          "the sink's storage has the parameter's size");
    }
    hooks_.emplace(tensors, sink);
  }

  int64_t total_steps() const override { return total_steps_; }

  absl::Status LoadBatch(Step step) override {
    SLUICE_ASSIGN_OR_RETURN(ImageBatch batch, batches_.Take(step.value));
    loaded_ = {step, std::move(batch)};
    return absl::OkStatus();
  }

  absl::StatusOr<double> ForwardBackward(Step step) override {
    SLUICE_CHECK(hooks_.has_value(), "a trainer is attached before its first step");
    if (!loaded_ || loaded_->first != step) SLUICE_RETURN_IF_ERROR(LoadBatch(step));
    const ImageBatch batch = std::move(loaded_->second);
    loaded_.reset();
    const double global_batch = parts_.job.training().global_batch();
    const std::string where = absl::StrCat(ToString(step), ", ", ToString(parts_.rank));
    auto run = [&]() -> absl::StatusOr<double> {
      const torch::Tensor loss_sum = torch::nn::functional::cross_entropy(
          parts_.network->forward(batch.images), batch.labels,
          torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
      const double loss = loss_sum.item<double>() / global_batch;
      // Before backward: a gradient that is not finite must not reach the other ranks.
      if (!std::isfinite(loss)) return NotFinite(where, loss);
      hooks_->Release();
      (loss_sum * (parts_.world_size / global_batch)).backward();
      return loss;
    };
    return TorchGuard(absl::StrCat(where, ": forward and backward"), run);
  }

  absl::Status ApplyGradients(Step step) override {
    return TorchGuard(absl::StrCat(ToString(step), ", ", ToString(parts_.rank), ": optimiser step"),
                      [&] { StepWithLearningRate(*parts_.optimizer, LearningRate(step)); });
  }

  std::vector<absl::Span<float>> FloatBuffers() override { return FloatBuffersOf(*parts_.network); }

  uint64_t ParameterChecksum() const override {
    XXH3_state_t* const state = XXH3_createState();
    XXH3_64bits_reset(state);
    for (const NamedParameter& parameter : parts_.parameters) {
      XXH3_64bits_update(state, parameter.tensor.data_ptr<float>(),
                         parameter.tensor.numel() * sizeof(float));
    }
    const uint64_t digest = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return digest;
  }

  absl::StatusOr<EvaluationSums> EvaluateShard() override {
    return EvaluateShardOf(parts_.test, parts_.rank, parts_.world_size, *parts_.network);
  }

  absl::StatusOr<std::string> SaveCheckpoint(const std::string& directory, Step completed,
                                             const proto::CompressionPolicy& policy) override {
    proto::CheckpointManifest manifest;
    manifest.set_sluice_version(kVersion);
    manifest.set_step(completed.value);
    manifest.set_world_size(parts_.world_size);
    manifest.set_samples_seen(completed.value * parts_.job.training().global_batch());
    *manifest.mutable_job() = parts_.job;
    *manifest.mutable_policy() = policy;
    SLUICE_ASSIGN_OR_RETURN(std::string model, SerializeNetwork(*parts_.network));
    SLUICE_ASSIGN_OR_RETURN(std::string optimizer, SerializeOptimizer(*parts_.optimizer));
    return WriteCheckpoint(
        directory, std::move(manifest),
        {{kModelFile, std::move(model)}, {kOptimizerFile, std::move(optimizer)}});
  }

  absl::StatusOr<Step> RestoreCheckpoint(const std::string& path) override {
    SLUICE_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(path));
    const proto::JobConfig& job = checkpoint.manifest.job();
    if (job.model().name() != parts_.job.model().name() ||
        job.optimizer().kind() != parts_.job.optimizer().kind()) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": written for model ", job.model().name(), " and optimizer ",
                       job.optimizer().kind(), ", this job has ", parts_.job.model().name(),
                       " and ", parts_.job.optimizer().kind()));
    }
    const CheckpointBlob* model = checkpoint.Find(kModelFile);
    const CheckpointBlob* optimizer = checkpoint.Find(kOptimizerFile);
    if (model == nullptr || optimizer == nullptr) {
      return absl::DataLossError(absl::StrCat(path, ": its manifest lacks ",
                                              model == nullptr ? kModelFile : kOptimizerFile));
    }
    SLUICE_RETURN_IF_ERROR(Annotate(RestoreNetwork(model->bytes, *parts_.network), path));
    SLUICE_RETURN_IF_ERROR(Annotate(RestoreOptimizer(optimizer->bytes, *parts_.optimizer), path));
    return Step(checkpoint.manifest.step());
  }

 private:
  // On the loader thread, the only one that uses the sampler.
  absl::StatusOr<ImageBatch> MakeSlice(Step step) {
    const absl::Span<const int64_t> batch = parts_.sampler.GlobalBatch(step);
    const BatchSlice slice =
        SliceOfRank(parts_.sampler.global_batch(), parts_.rank, parts_.world_size);
    return TorchGuard(absl::StrCat("load the batch of ", ToString(step)), [&] {
      return MakeImageBatch(parts_.train, batch.subspan(slice.begin, slice.size()));
    });
  }

  double LearningRate(Step step) const {
    return parts_.job.optimizer().learning_rate() *
           LearningRateFactor(parts_.job.schedule(), step.value, total_steps_);
  }

  absl::Status NotFinite(absl::string_view where, double loss) const {
    return absl::OutOfRangeError(absl::StrCat(
        where, ": the loss is ", loss, "; training diverged. Lower optimizer.learning_rate (",
        parts_.job.optimizer().learning_rate(), ") or lengthen schedule.warmup_steps (",
        parts_.job.schedule().warmup_steps(), ")"));
  }

  Parts parts_;
  int64_t total_steps_;
  std::vector<ParameterInfo> infos_;
  std::optional<GradientHooks> hooks_;
  std::optional<std::pair<Step, ImageBatch>> loaded_;
  Prefetcher<ImageBatch> batches_;  // last: its thread uses parts_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const proto::JobConfig& job, Rank rank,
                                                         int world_size) {
  const int64_t global_batch = job.training().global_batch();
  SLUICE_CHECK(rank.value >= 0 && rank.value < world_size, "a rank is below its world's size");
  if (global_batch < world_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("training.global_batch is ", global_batch, ", but there are ", world_size,
                     " workers: each needs at least one sample per step"));
  }
  SLUICE_RETURN_IF_ERROR(LimitThreads(job.training().threads()));
  SLUICE_ASSIGN_OR_RETURN(ImageSet train, LoadFashionMnist(job.data().path(), Split::kTrain));
  SLUICE_ASSIGN_OR_RETURN(ImageSet test, LoadFashionMnist(job.data().path(), Split::kTest));
  SLUICE_ASSIGN_OR_RETURN(BatchSampler sampler,
                          BatchSampler::Create(job.training().seed(), train.count, global_batch));
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<Network> network,
                          BuildNetwork(job.model().name(), job.training().seed()));
  std::vector<NamedParameter> parameters = ParametersInBackwardOrder(*network);
  std::vector<at::Tensor> tensors;
  for (const NamedParameter& parameter : parameters) tensors.push_back(parameter.tensor);
  SLUICE_ASSIGN_OR_RETURN(auto optimizer, MakeOptimizer(job.optimizer(), std::move(tensors)));
  return std::unique_ptr<Trainer>(new TorchTrainer(
      Parts{job, rank, world_size, std::move(train), std::move(test), std::move(sampler),
            std::move(network), std::move(parameters), std::move(optimizer)}));
}

}  // namespace sluice
