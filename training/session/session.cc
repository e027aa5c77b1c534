#include "training/session/session.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/codec_choice.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "comm/codec/codec_config.h"
#include "models/torch_guard.h"

namespace sluice {
namespace {

std::string TypeName(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    default:
      return c10::toString(type);
  }
}

absl::Status CheckTensor(const std::string& what, const at::Tensor& tensor) {
  const char* wrong = !tensor.defined()                    ? "it is not defined"
                      : tensor.layout() != at::kStrided    ? "it is sparse"
                      : tensor.device().type() != at::kCPU ? "it is not on the CPU"
                                                           : nullptr;
  if (wrong == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", wrong, "; dense tensors on the CPU can be sent"));
}

absl::Span<std::byte> BytesOf(const at::Tensor& contiguous) {
  return {static_cast<std::byte*>(contiguous.data_ptr()), contiguous.nbytes()};
}

// Runs `body` on contiguous values of `tensor`, and puts them back if they are others then.
template <class Body>
absl::Status InPlace(at::Tensor& tensor, Body&& body) {
  const c10::NoGradGuard no_grad;
  const at::Tensor values = tensor.contiguous();
  SLUICE_RETURN_IF_ERROR(body(values));
  if (!values.is_same(tensor)) tensor.copy_(values);
  return absl::OkStatus();
}

}  // namespace

std::string Describe(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.defined()) return absl::StrCat("\"", name, "\" undefined");
  return absl::StrCat(name.empty() ? "" : absl::StrCat("\"", name, "\" "),
                      TypeName(tensor.scalar_type()), " [", absl::StrJoin(tensor.sizes(), ", "),
                      "]");
}

int Complain(const absl::Status& error) {
  SLUICE_LOG(Error, error.message());
  return ExitCodeForStatus(error);
}

ProcessGroup::ProcessGroup(SessionCore& core, int number, std::vector<int> ranks)
    : core_(core), number_(number), generation_(core.generation()), ranks_(std::move(ranks)) {
  const auto self = std::find(ranks_.begin(), ranks_.end(), core.start().rank());
  if (self != ranks_.end()) rank_ = static_cast<int>(self - ranks_.begin());
}

absl::Status ProcessGroup::Check() const {
  if (generation_ != core_.generation()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the group was made in generation ", generation_, ", and this is ",
                     core_.generation(), ": make it anew with Session::NewGroup"));
  }
  if (rank_ < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "rank ", core_.start().rank(), " is not in the group [", absl::StrJoin(ranks_, ", "), "]"));
  }
  return absl::OkStatus();
}

absl::Status ProcessGroup::Barrier() {
  SLUICE_RETURN_IF_ERROR(Check());
  return core_.Collectively([&] { return core_.group(number_)->Agree("barrier"); });
}

absl::Status ProcessGroup::AllReduce(at::Tensor tensor, ReduceOp op, const std::string& name) {
  SLUICE_RETURN_IF_ERROR(Check());
  const bool mean = op == ReduceOp::kMean;
  const std::string what =
      absl::StrCat("all-reduce ", mean ? "mean " : "sum ", Describe(name, tensor));
  SLUICE_RETURN_IF_ERROR(CheckTensor(what, tensor));
  if (mean && !tensor.is_floating_point()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": a mean is of a floating type; use ReduceOp::kSum"));
  }
  return core_.Collectively([&] {
    SLUICE_RETURN_IF_ERROR(core_.group(number_)->Agree(what));
    return TorchGuard(what, [&] {
      return InPlace(tensor, [&](const at::Tensor& values) -> absl::Status {
        if (values.scalar_type() == at::kFloat) {
          SLUICE_RETURN_IF_ERROR(core_.group(number_)->Sum(
              {values.data_ptr<float>(), static_cast<size_t>(values.numel())}));
          if (mean) values.div_(size());
          return absl::OkStatus();
        }
        const at::Tensor all = at::empty({int64_t{size()}, values.numel()}, values.options());
        SLUICE_RETURN_IF_ERROR(core_.group(number_)->Gather(BytesOf(values), BytesOf(all)));
        const at::Tensor flat = values.view({-1});
        flat.copy_(all[0]);
        for (int i = 1; i < size(); ++i) flat.add_(all[i]);
        if (mean) values.div_(size());
        return absl::OkStatus();
      });
    });
  });
}

absl::StatusOr<at::Tensor> ProcessGroup::AllGather(const at::Tensor& tensor,
                                                   const std::string& name) {
  SLUICE_RETURN_IF_ERROR(Check());
  const std::string what = absl::StrCat("all-gather ", Describe(name, tensor));
  SLUICE_RETURN_IF_ERROR(CheckTensor(what, tensor));
  at::Tensor all;
  SLUICE_RETURN_IF_ERROR(core_.Collectively([&] {
    SLUICE_RETURN_IF_ERROR(core_.group(number_)->Agree(what));
    return TorchGuard(what, [&] {
      const c10::NoGradGuard no_grad;
      const at::Tensor values =
          (tensor.dim() == 0 ? tensor.reshape({1}) : tensor).detach().contiguous();
      std::vector<int64_t> shape = values.sizes().vec();
      shape.front() *= size();
      all = at::empty(shape, values.options());
      return core_.group(number_)->Gather(BytesOf(values), BytesOf(all));
    });
  }));
  return all;
}

absl::Status ProcessGroup::Broadcast(at::Tensor tensor, int root, const std::string& name) {
  SLUICE_RETURN_IF_ERROR(Check());
  const std::string what = absl::StrCat("broadcast from ", root, " of ", Describe(name, tensor));
  SLUICE_RETURN_IF_ERROR(CheckTensor(what, tensor));
  if (root < 0 || root >= size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": the group has ranks 0 to ", size() - 1));
  }
  return core_.Collectively([&] {
    SLUICE_RETURN_IF_ERROR(core_.group(number_)->Agree(what));
    return TorchGuard(what, [&] {
      return InPlace(tensor, [&](const at::Tensor& values) {
        return core_.group(number_)->Broadcast(root, BytesOf(values));
      });
    });
  });
}

absl::StatusOr<std::unique_ptr<Session>> Session::Join() {
  SLUICE_ASSIGN_OR_RETURN(auto core, SessionCore::Join());
  return std::unique_ptr<Session>(new Session(std::move(core)));
}

Session::~Session() = default;

int Session::local_rank() const {
  const auto& processes = core_->start().processes();
  return static_cast<int>(std::count_if(
      processes.begin(), processes.begin() + rank(),
      [&](const auto& process) { return process.host() == processes[rank()].host(); }));
}

int Session::local_size() const {
  const auto& processes = core_->start().processes();
  return static_cast<int>(std::count_if(
      processes.begin(), processes.begin() + size(),
      [&](const auto& process) { return process.host() == processes[rank()].host(); }));
}

ProcessGroup Session::world() {
  std::vector<int> all(static_cast<size_t>(size()));
  std::iota(all.begin(), all.end(), 0);
  return ProcessGroup(*core_, 0, std::move(all));
}

absl::StatusOr<ProcessGroup> Session::NewGroup(const std::vector<int>& ranks) {
  SLUICE_ASSIGN_OR_RETURN(const int number, core_->NewGroup(ranks));
  std::vector<int> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  return ProcessGroup(*core_, number, std::move(sorted));
}

PolicyInForce Session::policy() const {
  const std::optional<proto::CompressionPolicy> policy = core_->policy();
  PolicyInForce in_force;
  if (!policy.has_value()) return in_force;
  in_force.version = policy->version();
  for (const proto::LayerChoice& layer : policy->layers()) {
    const auto codec = ToCodecConfig(layer.codec());
    in_force.layers.push_back({layer.name(), codec.ok() ? ToString(*codec) : "?"});
  }
  return in_force;
}

int Session::Leave(const absl::Status& outcome) { return core_->Leave(outcome); }

absl::Status BroadcastParameters(Session& session, const NamedTensors& tensors, int root) {
  SessionCore& core = session.core();
  std::vector<std::string> items;
  for (const auto& [name, tensor] : tensors) {
    const std::string item = Describe(name, tensor);
    SLUICE_RETURN_IF_ERROR(CheckTensor(item, tensor));
    items.push_back(item);
  }
  const std::string what = absl::StrCat("broadcast of parameters from ", root);
  if (root < 0 || root >= session.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": there are ranks 0 to ", session.size() - 1));
  }
  return core.Collectively([&] {
    SLUICE_RETURN_IF_ERROR(core.world().Agree(what, items, core.patience()));
    return TorchGuard(what, [&]() -> absl::Status {
      for (const auto& [name, tensor] : tensors) {
        at::Tensor target = tensor;
        SLUICE_RETURN_IF_ERROR(InPlace(target, [&](const at::Tensor& values) {
          return core.world().Broadcast(root, BytesOf(values));
        }));
      }
      return absl::OkStatus();
    });
  });
}

}  // namespace sluice
