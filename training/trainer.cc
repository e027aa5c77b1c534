#include "training/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "models/data/batch_sampler.h"
#include "models/data/dataset.h"
#include "models/data/prefetcher.h"
#include "models/torch_guard.h"
#include "models/zoo/batch_norm.h"
#include "models/zoo/zoo.h"
#include "training/autocast.h"
#include "training/checkpoint.h"
#include "training/evaluation.h"
#include "training/gradient_hooks.h"
#include "training/gradient_norm.h"
#include "training/kept_zeros.h"
#include "training/loss.h"
#include "training/model_state.h"
#include "training/optimizer.h"
#include "training/parameter_checksum.h"
#include "training/phases/phase.h"
#include "training/phases/train/train.h"
#include "training/safetensors.h"
#include "training/schedule.h"
#include "training/trainer_state.h"
#include "training/trainer_with_phases.h"
#include "training/weight_average.h"

namespace sluice {
namespace {

constexpr char kArchiveFile[] = "model.pt";
constexpr char kAverageFile[] = "model_average.safetensors";
constexpr char kModelFile[] = "model.safetensors";
constexpr char kOptimizerFile[] = "optimizer.safetensors";

// Metadata of our safetensors.
constexpr char kCompleted[] = "completed_steps";
constexpr char kModel[] = "model";
constexpr char kOptimizer[] = "optimizer";

// Names of what the phase knows and of what earlier ones zeroed for good, among the optimiser's tensors.
constexpr char kPhaseState[] = "phase.state";
constexpr char kZeros[] = "phase.zeros";

// Names of the weights' average in a state that is one file.
constexpr char kAveragePrefix[] = "average.";

bool HasFile(const proto::CheckpointManifest& manifest, absl::string_view name) {
  return std::any_of(manifest.files().begin(), manifest.files().end(),
                     [&](const proto::CheckpointFile& file) { return file.name() == name; });
}

// The count of inter-op threads can be set once per process, before any is started.
absl::Status LimitThreads(int threads) {
  return TorchGuard("limit LibTorch's threads", [&] {
    at::set_num_threads(threads);
    if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);
  });
}

void Append(std::vector<SafeTensor> from, std::vector<SafeTensor>& into) {
  std::move(from.begin(), from.end(), std::back_inserter(into));
}

std::vector<at::Tensor> TensorsOf(const std::vector<NamedParameter>& parameters) {
  std::vector<at::Tensor> tensors;
  for (const NamedParameter& parameter : parameters) tensors.push_back(parameter.tensor);
  return tensors;
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
  PhaseMaker make_phase;
};

absl::Status CheckWorld(const proto::JobConfig& job, Rank rank, int world_size) {
  SLUICE_CHECK(rank.value >= 0 && rank.value < world_size, "a rank is below its world's size");
  if (job.training().global_batch() >= world_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("training.global_batch is ", job.training().global_batch(), ", but there are ",
                   world_size, " workers: each needs at least one sample per step"));
}

// Zeroes what is kept zero of every gradient before it leaves.
class ZeroingSink : public GradientSink {
 public:
  ZeroingSink(GradientSink& sink, const KeptZeros& zeros) : sink_(sink), zeros_(zeros) {}
  absl::Span<float> gradient(int index) override { return sink_.gradient(index); }
  void Ready(int index) override {
    zeros_.ZeroIn(index, sink_.gradient(index));
    sink_.Ready(index);
  }
  absl::Status Forget(absl::Span<const ElementRun> runs) override { return sink_.Forget(runs); }

 private:
  GradientSink& sink_;
  const KeptZeros& zeros_;
};

class TorchTrainer : public Trainer {
 public:
  explicit TorchTrainer(Parts parts)
      : parts_(std::move(parts)),
        augmentation_key_(RandomKey(parts_.job.training().seed()).With("augmentation")),
        dropout_key_(RandomKey(parts_.job.training().seed()).With("dropout")),
        local_steps_(parts_.job.training().local_steps()),
        phase_steps_(parts_.job.training().steps() > 0
                         ? parts_.job.training().steps()
                         : TorchTrainer::StepsOf(parts_.job.training().epochs())),
        phase_(std::make_unique<TrainPhase>()),
        batches_([this](int64_t batch) { return MakeSlice(batch); },
                 parts_.job.data().prefetch_batches(), parts_.job.data().threads()) {
    *settings_.mutable_optimizer() = parts_.job.optimizer();
    *settings_.mutable_schedule() = parts_.job.schedule();
    if (parts_.job.training().ema_decay() > 0) {
      average_.emplace(parts_.parameters, parts_.job.training().ema_decay());
    }
    for (const NamedParameter& parameter : parts_.parameters) {
      infos_.push_back({parameter.name, parameter.tensor.sizes().vec()});
    }
  }

  const std::vector<ParameterInfo>& parameters() const override { return infos_; }

  void Attach(GradientSink& sink) override {
    hooks_.reset();  // their nodes go, and new ones are made
    const std::vector<at::Tensor> tensors = TensorsOf(parts_.parameters);
    for (size_t i = 0; i < tensors.size(); ++i) {
      tensors[i].set_requires_grad(true);  // or it could have no hook
      SLUICE_CHECK(
          static_cast<int64_t>(sink.gradient(static_cast<int>(i)).size()) == tensors[i].numel(),
          "the sink's storage has the parameter's size");
    }
    sink_.emplace(sink, zeros_);
    hooks_.emplace(tensors, *sink_);
    Freeze();
  }

  void ShareStatistics(SumOverRanks sum) override {
    if (syncs_statistics()) ShareBatchNorm(*parts_.network, sum);
  }

  int64_t StepsOf(double epochs) const override {
    return (parts_.sampler.StepsOf(epochs) + local_steps_ - 1) / local_steps_;
  }

  absl::Status CheckPhase(const proto::Phase& settings, int64_t steps) override {
    return TorchGuard(absl::StrCat("prepare phase ", settings.name()), [&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(auto phase, parts_.make_phase(settings, Step(0), steps));
      return phase->Prepare(Model());
    });
  }

  absl::Status BeginPhase(const proto::Phase& settings, Step first, int64_t steps) override {
    return TorchGuard(absl::StrCat("begin phase ", settings.name()), [&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(auto next, parts_.make_phase(settings, first, steps));
      SLUICE_RETURN_IF_ERROR(next->Prepare(Model()));
      SLUICE_ASSIGN_OR_RETURN(auto optimizer,
                              MakeOptimizer(settings.optimizer(), TensorsOf(parts_.parameters)));
      SLUICE_RETURN_IF_ERROR(phase_->Finish());
      if (next->KeepsOptimizerState() &&
          settings.optimizer().kind() == settings_.optimizer().kind()) {
        optimizer->state() = std::move(parts_.optimizer->state());
      }
      parts_.optimizer = std::move(optimizer);
      settings_ = settings;
      phase_ = std::move(next);
      phase_first_ = first;
      phase_steps_ = steps;
      Freeze();
      const std::string report = phase_->Report();
      if (parts_.rank == Rank(0) && !report.empty()) {
        SLUICE_LOG(Info, "phase ", settings.name(), " ", report);
      }
      return absl::OkStatus();
    });
  }

  absl::Status LoadBatch(Step step) override {
    SLUICE_ASSIGN_OR_RETURN(Batch batch, batches_.Take(step.value * local_steps_));
    loaded_ = {step, std::move(batch)};
    return absl::OkStatus();
  }

  absl::StatusOr<double> ForwardBackward(Step step) override {
    SLUICE_CHECK(hooks_.has_value(), "a trainer is attached before its first step");
    if (!loaded_ || loaded_->first != step) SLUICE_RETURN_IF_ERROR(LoadBatch(step));
    Batch batch = std::move(loaded_->second);
    loaded_.reset();
    const std::string where = absl::StrCat(ToString(step), ", ", ToString(parts_.rank));
    return TorchGuard(
        absl::StrCat(where, ": forward and backward"), [&]() -> absl::StatusOr<double> {
          at::manual_seed(dropout_key_.With(step.value).With(parts_.rank.value).value());
          phase_->BeforeStep(step);
          if (local_steps_ > 1) return StepLocally(step, std::move(batch), where);
          return Backward(step, batch, parts_.world_size / global_batch(),
                          /*hand_over=*/true, where);
        });
  }

  absl::Status ApplyGradients(Step step) override {
    return TorchGuard(absl::StrCat(ToString(step), ", ", ToString(parts_.rank), ": optimiser step"),
                      [&]() -> absl::Status {
                        phase_->BeforeUpdate();
                        if (local_steps_ > 1) {
                          const torch::NoGradGuard no_gradients;
                          for (const NamedParameter& parameter : parts_.parameters) {
                            parameter.tensor.sub_(parameter.tensor.grad());
                          }
                        } else {
                          StepOptimizer(step);
                        }
                        SLUICE_ASSIGN_OR_RETURN(const std::vector<ElementRun> zeroed,
                                                phase_->AfterUpdate(step, LearningRate(step)));
                        if (!zeroed.empty()) {
                          SLUICE_RETURN_IF_ERROR(Forget(zeroed));
                          zeros_.Add(zeroed);
                        }
                        KeepZeros();
                        if (average_) average_->Update(step);
                        phase_->AfterStep(step);
                        return absl::OkStatus();
                      });
  }

  std::vector<absl::Span<float>> FloatBuffers() override { return FloatBuffersOf(*parts_.network); }

  uint64_t ModelFileDigest() const override { return parts_.network->file_digest(); }

  uint64_t ParameterChecksum() const override {
    uint64_t checksum = ParameterChecksumOf(TensorsOf(parts_.parameters));
    for (const uint64_t decisions : {phase_->Digest(), zeros_.digest()}) {
      if (decisions != 0) checksum = RandomKey(checksum).With(decisions).Bits(0);
    }
    return checksum;
  }

  absl::StatusOr<proto::Evaluation> EvaluateShard() override {
    if (average_) average_->Swap();
    auto sums = EvaluateShardOf(*parts_.data.test, parts_.rank, parts_.world_size, *parts_.network);
    if (average_) average_->Swap();
    return sums;
  }

  absl::StatusOr<std::string> SaveState(Step completed) override {
    return TorchGuard("save the trainer's state", [&] {
      std::vector<int64_t> counts;
      SafeTensors state = ModelState(completed);
      const std::string of_phase = phase_->SaveState();
      Append(PhaseTensors(of_phase, zeros_), state.tensors);
      Append(OptimizerTensors(*parts_.optimizer, parts_.parameters, &counts), state.tensors);
      if (average_) Append(average_->Tensors(kAveragePrefix), state.tensors);
      return WriteSafeTensors(state);
    });
  }

  absl::StatusOr<Step> LoadState(absl::string_view bytes) override {
    SLUICE_ASSIGN_OR_RETURN(const SafeTensors state, ReadSafeTensors(bytes));
    return Restore(state, state, state, kAveragePrefix);
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
        std::vector<int64_t> counts;
        if (local_steps_ > 1) {  // every rank's is its own
          Append(OptimizerTensors(*parts_.optimizer, parts_.parameters, &counts), state.tensors);
        }
        if (!state.tensors.empty()) {
          blobs.push_back({BuffersFileName(parts_.rank), WriteSafeTensors(state)});
        }
        return blobs;
      }
      blobs.push_back({kModelFile, WriteSafeTensors(ModelState(completed))});
      std::vector<int64_t> counts;
      state.metadata = Metadata(completed);
      state.tensors = OptimizerTensors(*parts_.optimizer, parts_.parameters, &counts);
      const std::string of_phase = phase_->SaveState();
      Append(PhaseTensors(of_phase, zeros_), state.tensors);
      blobs.push_back({kOptimizerFile, WriteSafeTensors(state)});
      if (average_) {
        SafeTensors average{Metadata(completed), average_->Tensors("")};
        Append(BufferTensors(*parts_.network), average.tensors);
        blobs.push_back({kAverageFile, WriteSafeTensors(average)});
      }
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
    std::string average;
    if (average_ && HasFile(manifest, kAverageFile)) {
      SLUICE_ASSIGN_OR_RETURN(average, ReadCheckpointFile(path, manifest, kAverageFile));
    }
    const auto restore = [&]() -> absl::StatusOr<Step> {
      SLUICE_ASSIGN_OR_RETURN(const SafeTensors of_model, ReadSafeTensors(model));
      SLUICE_ASSIGN_OR_RETURN(const SafeTensors of_optimizer, ReadSafeTensors(optimizer));
      SafeTensors of_average;
      if (!average.empty()) {
        SLUICE_ASSIGN_OR_RETURN(of_average, ReadSafeTensors(average));
      }
      return Restore(of_model, of_optimizer, of_average, "");
    };
    const absl::StatusOr<Step> completed = restore();
    if (!completed.ok()) return Annotate(completed.status(), path);
    if (completed->value == manifest.step()) return completed;
    return absl::DataLossError(absl::StrCat(path, ": its manifest is of step ", manifest.step(),
                                            ", ", kModelFile, " of ", completed->value));
  }

  absl::Status RestoreBuffers(const std::string& path) override {
    SLUICE_ASSIGN_OR_RETURN(const proto::CheckpointManifest manifest, ReadManifest(path));
    if (manifest.world_size() < 1) return absl::OkStatus();
    const Rank old(parts_.rank.value % manifest.world_size());
    const std::string name = old == Rank(0) ? kModelFile : BuffersFileName(old);
    const std::vector<SafeTensor> buffers = BufferTensors(*parts_.network);
    // Rank 0's optimiser is what every rank has got already.
    const bool has_optimizer = local_steps_ > 1 && old != Rank(0) && HasFile(manifest, name) &&
                               manifest.job().training().local_steps() > 1;
    if (buffers.empty() && !has_optimizer) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(const std::string bytes, ReadCheckpointFile(path, manifest, name));
    const auto restore = [&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(const SafeTensors from, ReadSafeTensors(bytes));
      SLUICE_RETURN_IF_ERROR(CheckTensors(from, buffers));
      if (has_optimizer) {
        SLUICE_RETURN_IF_ERROR(RestoreOptimizerTensors(from, parts_.parameters, *parts_.optimizer));
      }
      return RestoreTensors(from, buffers);
    };
    return Annotate(TorchGuard("restore", restore), absl::StrCat(path, "/", name));
  }

 private:
  PhaseModel Model() const {
    return {*parts_.network, parts_.parameters, *parts_.data.train, parts_.job};
  }

  std::map<std::string, std::string> Metadata(Step completed) const {
    return {{"format", "pt"},
            {kModel, ModelName()},
            {kOptimizer, settings_.optimizer().kind()},
            {kCompleted, absl::StrCat(completed.value)}};
  }

  // A model from a file is another one when the file is: what is not trained is only there.
  std::string ModelName() const {
    if (parts_.job.model().torchscript().empty()) return parts_.job.model().name();
    return absl::StrCat("torchscript ", absl::Hex(ModelFileDigest(), absl::kZeroPad16));
  }

  SafeTensors ModelState(Step completed) const {
    SafeTensors state{Metadata(completed), ParameterTensors(parts_.parameters)};
    Append(BufferTensors(*parts_.network), state.tensors);
    return state;
  }

  // \param average  what has the weights' average, under names after `prefix`; may have none
  absl::StatusOr<Step> Restore(const SafeTensors& model, const SafeTensors& optimizer,
                               const SafeTensors& average, const std::string& prefix) {
    std::map<std::string, std::string> metadata = model.metadata;
    if (metadata[kModel] != ModelName() || metadata[kOptimizer] != settings_.optimizer().kind()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "written for model \"", metadata[kModel], "\" and optimizer \"", metadata[kOptimizer],
          "\", this job has ", ModelName(), " and ", settings_.optimizer().kind()));
    }
    int64_t completed = 0;
    if (!absl::SimpleAtoi(metadata[kCompleted], &completed) || completed < 0) {
      return absl::DataLossError(absl::StrCat("its ", kCompleted, " are \"", metadata[kCompleted],
                                              "\", expected a number of steps"));
    }
    return TorchGuard("restore the trainer's state", [&]() -> absl::StatusOr<Step> {
      std::vector<SafeTensor> into = ParameterTensors(parts_.parameters);
      Append(BufferTensors(*parts_.network), into);
      SLUICE_RETURN_IF_ERROR(CheckTensors(model, into));
      std::vector<SafeTensor> into_average;
      if (average_) into_average = average_->Tensors(prefix);
      const bool has_average =
          !into_average.empty() && average.Find(into_average.front().name) != nullptr;
      if (has_average) SLUICE_RETURN_IF_ERROR(CheckTensors(average, into_average));
      KeptZeros zeros;
      if (const SafeTensor* const saved = optimizer.Find(kZeros)) {
        SLUICE_RETURN_IF_ERROR(zeros.Load(*saved, infos_));
      }
      const std::string of_phase = phase_->SaveState();
      SLUICE_RETURN_IF_ERROR(RestorePhase(optimizer, of_phase, Step(completed)));
      const absl::Status restored =
          RestoreOptimizerTensors(optimizer, parts_.parameters, *parts_.optimizer);
      if (!restored.ok()) {
        const absl::Status as_before = phase_->LoadState(of_phase);
        SLUICE_CHECK(as_before.ok(), "a phase takes what it saved");
        return restored;
      }
      SLUICE_RETURN_IF_ERROR(RestoreTensors(model, into));
      zeros_ = std::move(zeros);
      if (has_average) {
        SLUICE_RETURN_IF_ERROR(RestoreTensors(average, into_average));
      } else if (average_) {
        SLUICE_LOG(Info, "no average of the weights was kept: it starts from them at ",
                   ToString(Step(completed)));
        average_->Restart();
      }
      return Step(completed);
    });
  }

  // Borrows both. Empty: none.
  static std::vector<SafeTensor> PhaseTensors(const std::string& state, const KeptZeros& zeros) {
    std::vector<SafeTensor> tensors;
    if (!state.empty()) {
      tensors.push_back({kPhaseState, "U8", {static_cast<int64_t>(state.size())}, state});
    }
    if (!zeros.empty()) tensors.push_back(zeros.Save(kZeros));
    return tensors;
  }

  // \param own  the phase's state as it is
  absl::Status RestorePhase(const SafeTensors& from, const std::string& own, Step completed) {
    const SafeTensor* const state = from.Find(kPhaseState);
    if (state != nullptr) return Annotate(phase_->LoadState(state->bytes), "the phase's state");
    if (own.empty() || completed == phase_first_) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("there is no state of phase ", settings_.name(), " after ",
                     ToString(completed - 1), ": written in another phase"));
  }

  // Their gradients and moments are zero, but a later phase may move them by itself.
  void KeepZeros() {
    if (zeros_.empty()) return;
    for (size_t i = 0; i < parts_.parameters.size(); ++i) {
      const at::Tensor& parameter = parts_.parameters[i].tensor;
      zeros_.ZeroIn(static_cast<int>(i), {parameter.data_ptr<float>(),
                                          static_cast<size_t>(parameter.numel())});
    }
  }

  // What is kept of elements that stay zero becomes zero.
  absl::Status Forget(const std::vector<ElementRun>& runs) {
    for (const ElementRun& run : runs) {
      const at::Tensor& parameter = parts_.parameters[static_cast<size_t>(run.parameter)].tensor;
      for (absl::Span<float> moments : MomentsOf(*parts_.optimizer, parameter)) {
        std::fill_n(moments.begin() + run.begin, run.size, 0.0f);
      }
      if (average_) average_->Zero(run.parameter, run.begin, run.size);
    }
    return sink_->Forget(runs);
  }

  // Forward and backward on a slice, in micro-batches; gradients of `scale` times the sum of the samples' losses.
  // \param hand_over  to the sink, after the last one; else they stay in the parameters
  // \return the slice's part of the mean loss
  absl::StatusOr<double> Backward(Step step, const Batch& slice, double scale, bool hand_over,
                                  absl::string_view where) {
    const int64_t size = slice.size();
    const int64_t slice_begin =
        SliceOfRank(parts_.sampler.global_batch(), parts_.rank, parts_.world_size).begin;
    // None is empty.
    const int64_t count = std::min<int64_t>(parts_.job.training().accumulation_steps(), size);
    double loss = 0;
    for (int64_t m = 0; m < count; ++m) {
      const int64_t begin = size * m / count;
      SLUICE_ASSIGN_OR_RETURN(
          const torch::Tensor loss_sum,
          Loss(count == 1 ? slice : slice.Narrow(begin, size * (m + 1) / count - begin),
               {step, parts_.rank, parts_.world_size, slice_begin + begin, m == 0}));
      const double mean = loss_sum.item<double>() / global_batch();
      // Before backward: a gradient that is not finite must not reach the other ranks.
      if (!std::isfinite(mean)) {
        if (syncs_statistics()) PassBackward(loss_sum);
        return NotFinite(where, mean);
      }
      loss += mean;
      if (m == 0) hooks_->Release();
      hooks_->HoldBack(!hand_over || m + 1 < count);
      (loss_sum * scale).backward();
    }
    if (hand_over) hooks_->Complete();
    return loss;
  }

  // Others wait for this rank's part in the sums over ranks of their backward.
  void PassBackward(const torch::Tensor& loss) {
    hooks_->Release();
    hooks_->HoldBack(true);
    loss.backward();
    hooks_->Release();
  }

  absl::StatusOr<torch::Tensor> Loss(const Batch& batch, const BatchPlace& place) {
    const Bf16Scope precision(parts_.job.training().precision() == "bf16");
    SLUICE_ASSIGN_OR_RETURN(const torch::Tensor own, phase_->LossSum(batch, place));
    if (own.defined()) return own;
    const torch::Tensor logits = parts_.network->forward(batch.inputs);
    const torch::Tensor sum =
        LossSumOverSamples(logits, batch, parts_.job.training().label_smoothing());
    const torch::Tensor term = phase_->LossTerm(batch, logits);
    return term.defined() ? torch::Tensor(sum + term) : sum;
  }

  // Clips the gradients that the parameters have, and steps on them.
  void StepOptimizer(Step step) {
    std::vector<absl::Span<float>> gradients;
    for (size_t i = 0; i < parts_.parameters.size(); ++i) {
      const at::Tensor& gradient = parts_.parameters[i].tensor.grad();
      if (!gradient.defined()) continue;
      SLUICE_CHECK(gradient.is_contiguous(), "one run of memory each");
      gradients.emplace_back(gradient.data_ptr<float>(), gradient.numel());
      zeros_.ZeroIn(static_cast<int>(i), gradients.back());
    }
    const double most = settings_.optimizer().clip_norm();
    if (most > 0) ClipToNorm(gradients, most);
    StepWithLearningRate(*parts_.optimizer, LearningRate(step));
  }

  // Local SGD (Stich, 2019, "Local SGD converges fast and communicates little"): what is exchanged is how far the
  // parameters moved, as in Reddi et al., 2021, "Adaptive federated optimization", with rate 1. So the reducer's
  // codecs and error feedback hold for it as for a gradient (Basu et al., 2019, "Qsparse-local-SGD").
  absl::StatusOr<double> StepLocally(Step step, Batch batch, absl::string_view where) {
    std::vector<at::Tensor> start;
    for (const NamedParameter& parameter : parts_.parameters) {
      start.push_back(parameter.tensor.detach().clone());
    }
    const auto run = [&]() -> absl::StatusOr<double> {
      double loss = 0;
      for (int64_t local = 0; local < local_steps_; ++local) {
        if (local > 0) {
          SLUICE_ASSIGN_OR_RETURN(batch, batches_.Take(step.value * local_steps_ + local));
        }
        SLUICE_ASSIGN_OR_RETURN(const double part,
                                Backward(step, batch, 1.0 / static_cast<double>(batch.size()),
                                         /*hand_over=*/false, where));
        loss += part / static_cast<double>(local_steps_);
        StepOptimizer(step);
      }
      return loss;
    };
    const absl::StatusOr<double> loss = run();
    const torch::NoGradGuard no_gradients;
    for (size_t i = 0; i < start.size(); ++i) {
      const at::Tensor& parameter = parts_.parameters[i].tensor;
      at::Tensor moved = start[i] - parameter;
      parameter.copy_(start[i]);
      if (loss.ok()) hooks_->HandOver(static_cast<int>(i), moved);
    }
    return loss;
  }

  bool syncs_statistics() const { return parts_.job.training().sync_batch_norm(); }

  double global_batch() const { return static_cast<double>(parts_.job.training().global_batch()); }

  // On the loader threads.
  absl::StatusOr<Batch> MakeSlice(int64_t index) {
    const BatchSlice slice =
        SliceOfRank(parts_.sampler.global_batch(), parts_.rank, parts_.world_size);
    std::vector<int64_t> indices;
    {
      std::lock_guard<std::mutex> lock(sampler_mutex_);
      const auto part = parts_.sampler.GlobalBatch(Step(index)).subspan(slice.begin, slice.size());
      indices.assign(part.begin(), part.end());
    }
    absl::StatusOr<Batch> made = parts_.data.train->Make(
        indices,
        Augmentation{augmentation_key_, index * parts_.sampler.global_batch() + slice.begin});
    if (made.ok()) return made;
    return Annotate(made.status(), absl::StrCat("batch ", index));
  }

  double LearningRate(Step step) const {
    return settings_.optimizer().learning_rate() *
           LearningRateFactor(settings_.schedule(), step.value - phase_first_.value, phase_steps_);
  }

  // Autograd passes over what the phase does not train; the hooks hand over zeros.
  void Freeze() {
    for (const NamedParameter& parameter : parts_.parameters) {
      parameter.tensor.set_requires_grad(phase_->Trains(parameter.name));
    }
  }

  absl::Status NotFinite(absl::string_view where, double loss) const {
    return absl::OutOfRangeError(absl::StrCat(
        where, ": the loss is ", loss, "; training diverged. Lower optimizer.learning_rate (",
        settings_.optimizer().learning_rate(), ") or lengthen schedule.warmup_steps (",
        settings_.schedule().warmup_steps(), ")"));
  }

  Parts parts_;
  const RandomKey augmentation_key_;
  const RandomKey dropout_key_;
  const int64_t local_steps_;
  // The phase, by default one with the job's own settings.
  proto::Phase settings_;
  Step phase_first_{0};
  int64_t phase_steps_;
  std::unique_ptr<TrainingPhase> phase_;
  KeptZeros zeros_;
  std::mutex sampler_mutex_;  // of parts_.sampler
  std::vector<ParameterInfo> infos_;
  std::optional<ZeroingSink> sink_;
  std::optional<GradientHooks> hooks_;  // into sink_
  std::optional<WeightAverage> average_;
  std::optional<std::pair<Step, Batch>> loaded_;
  Prefetcher<Batch> batches_;  // last: its threads use parts_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const proto::JobConfig& job, Rank rank,
                                                         int world_size) {
  return CreateTrainerWithPhases(job, rank, world_size, AllPhases());
}

absl::StatusOr<std::unique_ptr<Trainer>> CreateTrainerWithPhases(const proto::JobConfig& job,
                                                                 Rank rank, int world_size,
                                                                 PhaseMaker make_phase) {
  const int64_t global_batch = job.training().global_batch();
  if (job.training().accumulation_steps() < 1 || job.training().local_steps() < 1) {
    return absl::InvalidArgumentError(
        "training.accumulation_steps and training.local_steps: expected at least 1");
  }
  SLUICE_RETURN_IF_ERROR(CheckWorld(job, rank, world_size));
  SLUICE_RETURN_IF_ERROR(LimitThreads(job.training().threads()));
  SLUICE_ASSIGN_OR_RETURN(Datasets data, LoadDatasets(job.data()));
  SLUICE_ASSIGN_OR_RETURN(
      BatchSampler sampler,
      BatchSampler::Create(job.training().seed(), data.train->size(), global_batch));
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<Network> network,
                          BuildNetwork(job.model(), data.train->shape(), job.training().seed()));
  std::vector<NamedParameter> parameters = ParametersInBackwardOrder(*network);
  SLUICE_ASSIGN_OR_RETURN(auto optimizer, MakeOptimizer(job.optimizer(), TensorsOf(parameters)));
  return std::unique_ptr<Trainer>(new TorchTrainer(
      Parts{job, rank, world_size, std::move(data), std::move(sampler), std::move(network),
            std::move(parameters), std::move(optimizer), std::move(make_phase)}));
}

}  // namespace sluice
