#include "training/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <xxhash.h>

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "models/data/batch_sampler.h"
#include "models/data/dataset.h"
#include "models/data/prefetcher.h"
#include "models/torch_guard.h"
#include "models/zoo/zoo.h"
#include "training/checkpoint.h"
#include "training/evaluation.h"
#include "training/gradient_hooks.h"
#include "training/loss.h"
#include "training/model_state.h"
#include "training/optimizer.h"
#include "training/safetensors.h"
#include "training/schedule.h"
#include "training/trainer_state.h"

namespace sluice {
namespace {

constexpr char kArchiveFile[] = "model.pt";
constexpr char kModelFile[] = "model.safetensors";
constexpr char kOptimizerFile[] = "optimizer.safetensors";

// Metadata of our safetensors.
constexpr char kCompleted[] = "completed_steps";
constexpr char kModel[] = "model";
constexpr char kOptimizer[] = "optimizer";

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
  Datasets data;
  BatchSampler sampler;
  std::shared_ptr<Network>
      network;  // torch's modules want shared_ptr; the trainer is the only owner
  std::vector<NamedParameter> parameters;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
};

absl::Status CheckWorld(const proto::JobConfig& job, Rank rank, int world_size) {
  SLUICE_CHECK(rank.value >= 0 && rank.value < world_size, "a rank is below its world's size");
  if (job.training().global_batch() >= world_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("training.global_batch is ", job.training().global_batch(), ", but there are ",
                   world_size, " workers: each needs at least one sample per step"));
}

class TorchTrainer : public Trainer {
 public:
  explicit TorchTrainer(Parts parts)
      : parts_(std::move(parts)),
        augmentation_key_(RandomKey(parts_.job.training().seed()).With("augmentation")),
        dropout_key_(RandomKey(parts_.job.training().seed()).With("dropout")),
        total_steps_(parts_.job.training().steps() > 0
                         ? parts_.job.training().steps()
                         : parts_.sampler.StepsOf(parts_.job.training().epochs())),
        batches_([this](int64_t step) { return MakeSlice(Step(step)); },
                 parts_.job.data().prefetch_batches()) {
    for (const NamedParameter& parameter : parts_.parameters) {
      infos_.push_back({parameter.name, parameter.tensor.sizes().vec()});
    }
  }

  const std::vector<ParameterInfo>& parameters() const override { return infos_; }

  void Attach(GradientSink& sink) override {
    hooks_.reset();  // their nodes go, and new ones are made
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
    SLUICE_ASSIGN_OR_RETURN(Batch batch, batches_.Take(step.value));
    loaded_ = {step, std::move(batch)};
    return absl::OkStatus();
  }

  absl::StatusOr<double> ForwardBackward(Step step) override {
    SLUICE_CHECK(hooks_.has_value(), "a trainer is attached before its first step");
    if (!loaded_ || loaded_->first != step) SLUICE_RETURN_IF_ERROR(LoadBatch(step));
    const Batch batch = std::move(loaded_->second);
    loaded_.reset();
    const double global_batch = parts_.job.training().global_batch();
    const std::string where = absl::StrCat(ToString(step), ", ", ToString(parts_.rank));
    auto run = [&]() -> absl::StatusOr<double> {
      at::manual_seed(dropout_key_.With(step.value).With(parts_.rank.value).value());
      const torch::Tensor loss_sum =
          LossSumOverSamples(parts_.network->forward(batch.inputs), batch);
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

  uint64_t ModelFileDigest() const override { return parts_.network->file_digest(); }

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
    return EvaluateShardOf(*parts_.data.test, parts_.rank, parts_.world_size, *parts_.network);
  }

  absl::StatusOr<std::string> SaveState(Step completed) override {
    return TorchGuard("save the trainer's state", [&] {
      std::vector<int64_t> counts;
      SafeTensors state = ModelState(completed);
      for (SafeTensor& tensor : OptimizerTensors(*parts_.optimizer, parts_.parameters, &counts)) {
        state.tensors.push_back(std::move(tensor));
      }
      return WriteSafeTensors(state);
    });
  }

  absl::StatusOr<Step> LoadState(absl::string_view bytes) override {
    SLUICE_ASSIGN_OR_RETURN(const SafeTensors state, ReadSafeTensors(bytes));
    return Restore(state, state);
  }

  absl::Status SetWorld(Rank rank, int world_size) override {
    SLUICE_RETURN_IF_ERROR(CheckWorld(parts_.job, rank, world_size));
    batches_.Restart([&] {
      parts_.rank = rank;
      parts_.world_size = world_size;
    });
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<CheckpointBlob>> CheckpointFiles(Step completed) override {
    using Blobs = std::vector<CheckpointBlob>;
    return TorchGuard("save a checkpoint", [&]() -> absl::StatusOr<Blobs> {
      Blobs blobs;
      SafeTensors state;
      if (parts_.rank != Rank(0)) {
        state.tensors = BufferTensors(*parts_.network);
        if (!state.tensors.empty()) {
          blobs.push_back({BuffersFileName(parts_.rank), WriteSafeTensors(state)});
        }
        return blobs;
      }
      blobs.push_back({kModelFile, WriteSafeTensors(ModelState(completed))});
      std::vector<int64_t> counts;
      state.metadata = Metadata(completed);
      state.tensors = OptimizerTensors(*parts_.optimizer, parts_.parameters, &counts);
      blobs.push_back({kOptimizerFile, WriteSafeTensors(state)});
      SLUICE_ASSIGN_OR_RETURN(std::string archive, SerializeNetwork(*parts_.network));
      blobs.push_back({kArchiveFile, std::move(archive)});
      return blobs;
    });
  }

  absl::StatusOr<Step> RestoreCheckpoint(const std::string& path) override {
    SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, ReadManifest(path));
    SLUICE_ASSIGN_OR_RETURN(const std::string model,
                            ReadCheckpointFile(path, manifest, kModelFile));
    SLUICE_ASSIGN_OR_RETURN(const std::string optimizer,
                            ReadCheckpointFile(path, manifest, kOptimizerFile));
    const auto restore = [&]() -> absl::StatusOr<Step> {
      SLUICE_ASSIGN_OR_RETURN(const SafeTensors of_model, ReadSafeTensors(model));
      SLUICE_ASSIGN_OR_RETURN(const SafeTensors of_optimizer, ReadSafeTensors(optimizer));
      return Restore(of_model, of_optimizer);
    };
    const absl::StatusOr<Step> completed = restore();
    if (!completed.ok()) return Annotate(completed.status(), path);
    if (completed->value == manifest.step()) return completed;
    return absl::DataLossError(absl::StrCat(path, ": its manifest is of step ", manifest.step(),
                                            ", ", kModelFile, " of ", completed->value));
  }

  absl::Status RestoreBuffers(const std::string& path) override {
    SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, ReadManifest(path));
    const std::vector<SafeTensor> buffers = BufferTensors(*parts_.network);
    if (buffers.empty() || manifest.world_size() < 1) return absl::OkStatus();
    const Rank old(parts_.rank.value % manifest.world_size());
    const std::string name = old == Rank(0) ? kModelFile : BuffersFileName(old);
    SLUICE_ASSIGN_OR_RETURN(const std::string bytes, ReadCheckpointFile(path, manifest, name));
    const auto from = ReadSafeTensors(bytes);
    return Annotate(from.ok() ? RestoreTensors(*from, buffers) : from.status(),
                    absl::StrCat(path, "/", name));
  }

 private:
  std::map<std::string, std::string> Metadata(Step completed) const {
    return {{"format", "pt"},
            {kModel, ModelName()},
            {kOptimizer, parts_.job.optimizer().kind()},
            {kCompleted, absl::StrCat(completed.value)}};
  }

  // A model from a file is another one when the file is: what is not trained is only there.
  std::string ModelName() const {
    if (parts_.job.model().torchscript().empty()) return parts_.job.model().name();
    return absl::StrCat("torchscript ", absl::Hex(ModelFileDigest(), absl::kZeroPad16));
  }

  SafeTensors ModelState(Step completed) const {
    SafeTensors state{Metadata(completed), ParameterTensors(parts_.parameters)};
    for (SafeTensor& tensor : BufferTensors(*parts_.network)) {
      state.tensors.push_back(std::move(tensor));
    }
    return state;
  }

  absl::StatusOr<Step> Restore(const SafeTensors& model, const SafeTensors& optimizer) {
    std::map<std::string, std::string> metadata = model.metadata;
    if (metadata[kModel] != ModelName() || metadata[kOptimizer] != parts_.job.optimizer().kind()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "written for model \"", metadata[kModel], "\" and optimizer \"", metadata[kOptimizer],
          "\", this job has ", ModelName(), " and ", parts_.job.optimizer().kind()));
    }
    int64_t completed = 0;
    if (!absl::SimpleAtoi(metadata[kCompleted], &completed) || completed < 0) {
      return absl::DataLossError(absl::StrCat("its ", kCompleted, " are \"", metadata[kCompleted],
                                              "\", expected a number of steps"));
    }
    return TorchGuard("restore the trainer's state", [&]() -> absl::StatusOr<Step> {
      std::vector<SafeTensor> into = ParameterTensors(parts_.parameters);
      for (SafeTensor& tensor : BufferTensors(*parts_.network)) into.push_back(std::move(tensor));
      SLUICE_RETURN_IF_ERROR(CheckTensors(model, into));
      SLUICE_RETURN_IF_ERROR(
          RestoreOptimizerTensors(optimizer, parts_.parameters, *parts_.optimizer));
      SLUICE_RETURN_IF_ERROR(RestoreTensors(model, into));
      return Step(completed);
    });
  }

  // On the loader thread, the only one that uses the sampler.
  absl::StatusOr<Batch> MakeSlice(Step step) {
    const absl::Span<const int64_t> batch = parts_.sampler.GlobalBatch(step);
    const BatchSlice slice =
        SliceOfRank(parts_.sampler.global_batch(), parts_.rank, parts_.world_size);
    absl::StatusOr<Batch> made = parts_.data.train->Make(
        batch.subspan(slice.begin, slice.size()),
        Augmentation{augmentation_key_, step.value * parts_.sampler.global_batch() + slice.begin});
    if (made.ok()) return made;
    return Annotate(made.status(), absl::StrCat("the batch of ", ToString(step)));
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
  const RandomKey augmentation_key_;
  const RandomKey dropout_key_;
  int64_t total_steps_;
  std::vector<ParameterInfo> infos_;
  std::optional<GradientHooks> hooks_;
  std::optional<std::pair<Step, Batch>> loaded_;
  Prefetcher<Batch> batches_;  // last: its thread uses parts_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const proto::JobConfig& job, Rank rank,
                                                         int world_size) {
  const int64_t global_batch = job.training().global_batch();
  SLUICE_RETURN_IF_ERROR(CheckWorld(job, rank, world_size));
  SLUICE_RETURN_IF_ERROR(LimitThreads(job.training().threads()));
  SLUICE_ASSIGN_OR_RETURN(Datasets data, LoadDatasets(job.data()));
  SLUICE_ASSIGN_OR_RETURN(
      BatchSampler sampler,
      BatchSampler::Create(job.training().seed(), data.train->size(), global_batch));
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<Network> network,
                          BuildNetwork(job.model(), data.train->shape(), job.training().seed()));
  std::vector<NamedParameter> parameters = ParametersInBackwardOrder(*network);
  std::vector<at::Tensor> tensors;
  for (const NamedParameter& parameter : parameters) tensors.push_back(parameter.tensor);
  SLUICE_ASSIGN_OR_RETURN(auto optimizer, MakeOptimizer(job.optimizer(), std::move(tensors)));
  return std::unique_ptr<Trainer>(
      new TorchTrainer(Parts{job, rank, world_size, std::move(data), std::move(sampler),
                             std::move(network), std::move(parameters), std::move(optimizer)}));
}

}  // namespace sluice
