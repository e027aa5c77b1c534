#include "training/session/distributed_optimizer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"
#include "training/parameter_checksum.h"

namespace sluice {
namespace {

absl::Status CheckParameters(const torch::optim::Optimizer& optimizer,
                             const NamedTensors& parameters) {
  std::set<std::string> names;
  std::set<const c10::TensorImpl*> known;
  for (const auto& [name, tensor] : parameters) {
    const bool fits = tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided &&
                      tensor.device().type() == at::kCPU;
    if (!fits || tensor.numel() == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "parameter ", Describe(name, tensor), " on ", tensor.device().str(),
          ": gradients of dense float32 tensors with elements, on the CPU, can be averaged"));
    }
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two parameters have the name \"", name, "\""));
    }
    known.insert(tensor.unsafeGetTensorImpl());
  }
  for (const auto& group : optimizer.param_groups()) {
    for (const at::Tensor& tensor : group.params()) {
      if (!tensor.requires_grad() || known.count(tensor.unsafeGetTensorImpl()) > 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("the optimizer has a parameter ", Describe("", tensor),
                       " that is not among the named ones: its gradient would not be averaged"));
    }
  }
  if (!parameters.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("there is no parameter that needs a gradient");
}

}  // namespace

absl::StatusOr<std::unique_ptr<DistributedOptimizer>> DistributedOptimizer::Create(
    Session& session, torch::optim::Optimizer& optimizer, const torch::nn::Module& module,
    const Options& options) {
  NamedTensors parameters;
  for (const auto& item : module.named_parameters()) {
    parameters.emplace_back(item.key(), item.value());
  }
  return Create(session, optimizer, std::move(parameters), options);
}

absl::StatusOr<std::unique_ptr<DistributedOptimizer>> DistributedOptimizer::Create(
    Session& session, torch::optim::Optimizer& optimizer, NamedTensors parameters,
    const Options& options) {
  parameters.erase(std::remove_if(parameters.begin(), parameters.end(),
                                  [](const auto& one) { return !one.second.requires_grad(); }),
                   parameters.end());
  SLUICE_RETURN_IF_ERROR(CheckParameters(optimizer, parameters));
  if (options.backward_passes_per_step < 1 || options.total_steps < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "backward_passes_per_step ", options.backward_passes_per_step, ", total_steps ",
        options.total_steps, ": expected at least 1 and at least 0"));
  }
  SessionCore& core = session.core();
  if (core.user() != nullptr) {
    return absl::FailedPreconditionError("the session has a DistributedOptimizer already");
  }
  // Backward finishes gradients in about this order.
  std::reverse(parameters.begin(), parameters.end());
  std::unique_ptr<DistributedOptimizer> made(
      new DistributedOptimizer(session, optimizer, std::move(parameters), options));
  absl::Status status = made->Attach();
  if (!status.ok() && core.member().elastic()) status = core.NextGeneration(status);
  SLUICE_RETURN_IF_ERROR(status);
  return made;
}

DistributedOptimizer::DistributedOptimizer(Session& session, torch::optim::Optimizer& optimizer,
                                           NamedTensors parameters, const Options& options)
    : session_(session),
      optimizer_(optimizer),
      parameters_(std::move(parameters)),
      options_(options),
      not_finite_(session.core().member().job().training().on_nan() == "skip",
                  session.core().member().job().training().max_skipped_steps()),
      passes_(parameters_.size()) {
  session.core().SetUser(this);
}

DistributedOptimizer::~DistributedOptimizer() {
  // What this rank still has to report, and the reducer itself, are the session's until all ranks are through.
  if (hooks_.has_value()) hooks_->Release();
  hooks_.reset();
  session_.core().SetUser(nullptr);
}

absl::Status DistributedOptimizer::Attach() {
  SessionCore& core = session_.core();
  std::vector<std::string> items = {
      absl::StrCat(options_.backward_passes_per_step, " backward passes per step")};
  std::vector<proto::TensorSpec> specs;
  for (const auto& [name, tensor] : parameters_) {
    items.push_back(Describe(name, tensor));
    proto::TensorSpec& spec = specs.emplace_back();
    spec.set_name(name);
    spec.mutable_shape()->Assign(tensor.sizes().begin(), tensor.sizes().end());
  }
  SLUICE_RETURN_IF_ERROR(core.Collectively(
      [&] { return core.world().Agree("a DistributedOptimizer", items, core.patience()); }));
  SLUICE_RETURN_IF_ERROR(core.Note(core.StartReducing(specs, options_.total_steps)));
  std::fill(passes_.begin(), passes_.end(), 0);
  begun_ = reduced_ = false;
  error_ = absl::OkStatus();
  attached_ = true;
  const absl::Status hooked = TorchGuard("hook gradients", [&] {
    std::vector<at::Tensor> tensors;
    for (const auto& [name, tensor] : parameters_) tensors.push_back(tensor);
    GradientSink& sink = *this;
    hooks_.emplace(tensors, sink);
    hooks_->Release();
  });
  SLUICE_RETURN_IF_ERROR(hooked);
  since_ = absl::Now();
  core.member().probe().Enter(core.completed(), proto::WORK_PHASE_COMPUTE);
  return absl::OkStatus();
}

// Gradients are views of what the reducer owns.
void DistributedOptimizer::Detach() {
  if (hooks_.has_value()) hooks_->Release();
  hooks_.reset();
  attached_ = false;
}

absl::Span<float> DistributedOptimizer::gradient(int index) {
  return session_.core().member().reducer().gradient(index);
}

void DistributedOptimizer::ZeroGrad() {
  if (hooks_.has_value()) hooks_->Release();
}

void DistributedOptimizer::Ready(int index) {
  if (!attached_ || !error_.ok()) return;
  const int pass = ++passes_[static_cast<size_t>(index)];
  if (pass < options_.backward_passes_per_step && !reduced_) return;
  if (pass > options_.backward_passes_per_step || reduced_) {
    error_ = absl::InvalidArgumentError(absl::StrCat(
        "the gradient of \"", parameters_[static_cast<size_t>(index)].first, "\" was computed ",
        pass, " times in step ", completed_steps(), ", and it left after ",
        options_.backward_passes_per_step,
        ": set DistributedOptimizer::Options::backward_passes_per_step, or call Step after each "
        "backward"));
    return;
  }
  BeginStep();
  if (error_.ok()) session_.core().member().reducer().Ready(index);
}

// Asked for at the first gradient of a step: a step that is not to be done ends here.
void DistributedOptimizer::BeginStep() {
  if (begun_ || !error_.ok()) return;
  SessionCore& core = session_.core();
  JobMember& member = core.member();
  member.probe().Enter(core.completed(), proto::WORK_PHASE_DECISION);
  const StepGate::Verdict verdict = member.gate().Before(core.completed());
  member.probe().Enter(core.completed(), proto::WORK_PHASE_COMPUTE);
  switch (verdict.pass) {
    case StepGate::Pass::kStep:
      member.Offer(verdict.plans);
      member.reducer().BeginStep(core.completed());
      begun_ = true;
      return;
    case StepGate::Pass::kRegroup:
      error_ = absl::AbortedError(verdict.reason);
      return;
    case StepGate::Pass::kLeave:
      core.SetStopping();
      error_ = absl::AbortedError(
          absl::StrCat("the job stops before ", ToString(core.completed()), ": ", verdict.reason));
      return;
    case StepGate::Pass::kEnded:
      auto end = member.client().WaitEnd(absl::ZeroDuration());
      if (end.ok() && end->exit_code == 0) core.SetStopping();
      error_ = absl::AbortedError(end.ok() ? end->cause : "the job has ended");
      return;
  }
}

absl::Status DistributedOptimizer::Synchronize() {
  if (reduced_ && error_.ok()) return absl::OkStatus();
  return session_.core().Note(Reduce());
}

absl::Status DistributedOptimizer::Reduce() {
  if (!attached_) return absl::FailedPreconditionError("the generation is over");
  SessionCore& core = session_.core();
  JobMember& member = core.member();
  BeginStep();
  SLUICE_RETURN_IF_ERROR(error_);
  // Reached by some of the step's backward passes alone.
  for (size_t i = 0; i < passes_.size(); ++i) {
    if (passes_[i] > 0 && passes_[i] < options_.backward_passes_per_step) {
      member.reducer().Ready(static_cast<int>(i));
    }
  }
  member.probe().Enter(core.completed(), proto::WORK_PHASE_REDUCE);
  outcome_ = StepOutcome();
  outcome_.step = core.completed();
  auto reduction = member.reducer().Finish();
  member.probe().Enter(core.completed(), proto::WORK_PHASE_OPTIMIZER);
  if (!reduction.ok()) {
    begun_ = false;
    error_ = reduction.status();
    return error_;
  }
  outcome_.reduction = *std::move(reduction);
  hooks_->View();
  reduced_ = true;
  if (!outcome_.reduction.not_finite) {
    not_finite_.OnFinite();
    return absl::OkStatus();
  }
  outcome_.skipped = true;
  error_ = not_finite_.OnNotFinite(core.completed(), outcome_.reduction, absl::OkStatus(),
                                   member.reducer().layout());
  return error_;
}

absl::Status DistributedOptimizer::Step(double loss) {
  SLUICE_RETURN_IF_ERROR(Synchronize());
  SessionCore& core = session_.core();
  if (!outcome_.skipped) {
    SLUICE_RETURN_IF_ERROR(core.Note(TorchGuard(
        absl::StrCat(ToString(core.completed()), ", rank ", session_.rank(), ": optimizer step"),
        [&] { optimizer_.step(); })));
  }
  core.StepDone(outcome_.reduction.plan_version);
  Report(loss);
  std::fill(passes_.begin(), passes_.end(), 0);
  begun_ = reduced_ = false;
  core.member().probe().Enter(core.completed(), proto::WORK_PHASE_COMPUTE);
  return absl::OkStatus();
}

void DistributedOptimizer::Report(double loss) {
  JobMember& member = session_.core().member();
  const absl::Time now = absl::Now();
  outcome_.duration = now - since_;
  since_ = now;
  outcome_.loss = loss / session_.size();
  const int64_t every = member.job().training().checksum_every_steps();
  if ((every > 0 && completed_steps() % every == 0) || completed_steps() == options_.total_steps) {
    outcome_.has_checksum = true;
    outcome_.checksum = ParameterChecksum();
  }
  member.reporter().Add(outcome_, member.reducer(), completed_steps() == options_.total_steps);
}

uint64_t DistributedOptimizer::ParameterChecksum() const {
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : parameters_) tensors.push_back(tensor);
  return ParameterChecksumOf(tensors);
}

}  // namespace sluice
