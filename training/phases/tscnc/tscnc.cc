#include "training/phases/tscnc/tscnc.h"

#include <ATen/ops/from_blob.h>
#include <torch/types.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "training/loss.h"
#include "training/robust/layer_owners.h"
#include "training/robust/layer_spectrum.h"
#include "training/robust/magnitude_pruning.h"
#include "training/robust/robust_loss.h"
#include "training/robust/transformed_l1.h"

namespace sluice {
namespace {

constexpr double kMostOfClassifier = 0.9;
constexpr double kMostNotFinite = 0.001;  // of a batch's samples
constexpr int64_t kEveryStep = 512;       // singular values up to which a layer takes no turns

absl::Span<float> ValuesOf(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingPhase>> TscncPhase::Create(const proto::Phase& settings,
                                                                  Step first, int64_t steps) {
  SLUICE_ASSIGN_OR_RETURN(const ConditionKind kind,
                          ParseConditionKind(settings.tscnc().cnc().kind()));
  return std::unique_ptr<TrainingPhase>(new TscncPhase(settings, kind, first, steps));
}

TscncPhase::TscncPhase(const proto::Phase& settings, ConditionKind kind, Step first, int64_t steps)
    : settings_(settings.tscnc()),
      name_(settings.name()),
      kind_(kind),
      first_(first),
      steps_(steps),
      schedule_(settings_.sparsity() > 0 ? 1 : 0, settings_.prune_begin(), settings_.prune_end(),
                std::max<int64_t>(1, steps)),
      space_(PixelSpace::Plain()) {}

TscncPhase::~TscncPhase() {
  for (const Layer& layer : layers_) {
    if (layer.hook) layer.weight.tensor.remove_hook(*layer.hook);
  }
}

absl::Status TscncPhase::Prepare(const PhaseModel& model) {
  model_.emplace(model);
  if (settings_.loss() != "clean") {
    SLUICE_ASSIGN_OR_RETURN(space_, PixelSpace::Of(model.data));
  }
  const auto& names = settings_.cnc().layers();
  for (LayerWeight& weight : LayerWeightsOf(model.network, model.parameters)) {
    Layer layer;
    layer.constrained =
        names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& name) {
          return absl::StartsWith(weight.shape.name, name);
        });
    layer.sparsity = settings_.sparsity();
    weights_ += weight.tensor.numel();
    layer.weight = std::move(weight);
    layers_.push_back(std::move(layer));
  }
  if (layers_.empty()) {
    return absl::InvalidArgumentError("tscnc: the network has no linear or convolution layers");
  }
  layers_.back().sparsity = std::min(layers_.back().sparsity, kMostOfClassifier);
  for (const std::string& name : names) {
    const bool known = std::any_of(layers_.begin(), layers_.end(), [&](const Layer& layer) {
      return absl::StartsWith(layer.weight.shape.name, name);
    });
    if (known) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("tscnc.cnc.layers: no layer's weight has a name that starts with \"", name,
                     "\"; the first is \"", layers_.front().weight.shape.name, "\""));
  }
  return absl::OkStatus();
}

void TscncPhase::BeforeStep(Step step) {
  if (settings_.sparsity() == 0) return;
  const torch::NoGradGuard no_gradients;
  const std::optional<double> share = schedule_.At(step.value - first_.value);
  const KeepLines keep =
      settings_.rank_aware() == "on" ? KeepLines::kRowsAndColumns : KeepLines::kRows;
  for (Layer& layer : layers_) {
    const at::Tensor& tensor = layer.weight.tensor;
    if (share) {
      PruneByMagnitude(layer.weight.shape, *share * layer.sparsity, keep, ValuesOf(tensor));
    }
    layer.pruned = tensor.detach().eq(0);
    if (layer.hook || !tensor.requires_grad()) continue;
    layer.hook = tensor.register_hook(
        [&layer](const at::Tensor& gradient) { return gradient.masked_fill(layer.pruned, 0); });
  }
}

absl::StatusOr<at::Tensor> TscncPhase::LossSum(const Batch& batch, const BatchPlace& place) {
  rank_ = place.rank;
  SLUICE_ASSIGN_OR_RETURN(const at::Tensor samples, SampleLosses(batch, place));
  if (!place.first_of_rank) return samples;
  const at::Tensor term = ConstraintTerm(place);
  return term.defined() ? at::Tensor(samples + term) : samples;
}

absl::StatusOr<at::Tensor> TscncPhase::SampleLosses(const Batch& batch, const BatchPlace& place) {
  Network& network = model_->network;
  if (settings_.loss() == "clean") {
    return LossSumOverSamples(network.forward(batch.inputs), batch,
                              model_->job.training().label_smoothing());
  }
  const RandomKey key = RandomKey(model_->job.training().seed())
                            .With("attack")
                            .With(static_cast<uint64_t>(place.step.value));
  const at::Tensor& inputs = batch.inputs.front();
  const Attacked attacked = Attack(
      network, inputs, batch.targets, PlanOf(settings_), space_,
      [&](int64_t sample) { return key.With(static_cast<uint64_t>(place.first_sample + sample)); });
  if (static_cast<double>(attacked.not_finite) >
      kMostNotFinite * static_cast<double>(batch.size())) {
    return absl::OutOfRangeError(
        absl::StrCat(ToString(place.step), ", ", ToString(place.rank),
                     ": the attack's gradient is not finite for ", attacked.not_finite, " of ",
                     batch.size(), " samples; training diverged. Lower optimizer.learning_rate"));
  }
  if (settings_.loss() == "at") {
    return CrossEntropy(network.forward({attacked.inputs}), batch.targets).sum();
  }
  const at::Tensor clean = network.forward({inputs});
  const at::Tensor moved = network.forward({attacked.inputs});
  return settings_.loss() == "trades" ? Trades(clean, moved, batch.targets, settings_.beta()).sum()
                                      : Mart(clean, moved, batch.targets, settings_.beta()).sum();
}

at::Tensor TscncPhase::ConstraintTerm(const BatchPlace& place) {
  std::vector<WeightMatrix> shapes;
  for (const Layer& layer : layers_) shapes.push_back(layer.weight.shape);
  const std::vector<int> owners = LayerOwners(shapes, place.world_size);
  const int64_t turn = place.step.value - first_.value;
  at::Tensor sum;
  for (size_t l = 0; l < layers_.size(); ++l) {
    if (owners[l] != place.rank.value || !layers_[l].weight.tensor.requires_grad()) continue;
    const WeightMatrix weight = layers_[l].weight.View();
    Matrix gradient = Matrix::Zero(weight.rows, weight.cols);
    double value = 0;
    const int64_t every = weight.rank_limit() > kEveryStep ? settings_.cnc().every() : 1;
    if (settings_.cnc().lambda() > 0 && layers_[l].constrained &&
        (turn + static_cast<int64_t>(l)) % every == 0) {
      const double lambda = settings_.cnc().lambda() * static_cast<double>(every);
      const auto got = ConditionConstraint(kind_, settings_.cnc().delta(), weight);
      value += lambda * got.value;
      gradient += lambda * got.gradient;
    }
    if (settings_.tsc().lambda() > 0) {
      value += AddTransformedL1(weight.values, settings_.tsc().a(),
                                settings_.tsc().lambda() / static_cast<double>(weights_),
                                {gradient.data(), static_cast<size_t>(gradient.size())});
    }
    // Its value, with our gradient: the rest of the sum is 0.
    const at::Tensor& tensor = layers_[l].weight.tensor;
    const at::Tensor slope =
        at::from_blob(gradient.data(), tensor.sizes(), at::kDouble).to(at::kFloat);
    const at::Tensor linear = (tensor * slope).sum();
    const at::Tensor term = linear - linear.detach() + value;
    sum = sum.defined() ? at::Tensor(sum + term) : term;
  }
  // Sums over samples are divided by the global batch later on.
  if (!sum.defined()) return sum;
  return sum * static_cast<double>(model_->job.training().global_batch());
}

void TscncPhase::KeepPruned() {
  const torch::NoGradGuard no_gradients;
  for (const Layer& layer : layers_) layer.weight.tensor.detach().masked_fill_(layer.pruned, 0);
}

void TscncPhase::AfterStep(Step step) {
  if (settings_.sparsity() > 0) KeepPruned();
  if (step.value == first_.value + steps_ - 1) LogEnd();
}

absl::Status TscncPhase::Finish() {
  LogEnd();
  return absl::OkStatus();
}

void TscncPhase::LogEnd() {
  if (logged_ || rank_ != std::optional<Rank>(Rank(0))) return;
  logged_ = true;
  double zeros = 0;
  int64_t singular = 0;
  std::vector<LayerSpectrum> spectra;
  for (const Layer& layer : layers_) {
    spectra.push_back(SpectrumOf(layer.weight.View()));
    const LayerSpectrum& spectrum = spectra.back();
    zeros += spectrum.sparsity * static_cast<double>(layer.weight.tensor.numel());
    if (spectrum.complete && spectrum.rank < layer.weight.shape.rank_limit()) ++singular;
  }
  SLUICE_LOG(Info, "phase ", name_, " ends: ",
             absl::StrFormat("%.2f %% of the weights of %d layers are zero, mean log kappa %.3f, "
                             "%d of them below full rank",
                             100 * zeros / static_cast<double>(weights_), layers_.size(),
                             MeanLogKappa(spectra), singular));
}

std::string TscncPhase::Report() const {
  const auto constrained = std::count_if(layers_.begin(), layers_.end(),
                                         [](const Layer& layer) { return layer.constrained; });
  return absl::StrFormat("trains %s on %d layers, sparsity %g, %s on %d of them", settings_.loss(),
                         layers_.size(), settings_.sparsity(), settings_.cnc().kind(),
                         settings_.cnc().lambda() > 0 ? constrained : 0);
}

}  // namespace sluice
