#include "training/session/elastic.h"

#include <c10/core/GradMode.h>
#include <torch/serialize.h>

#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"

namespace sluice {

void State::Add(const std::string& name, torch::nn::Module& module) {
  const auto tensors = [&module] {
    std::vector<at::Tensor> all = module.parameters();
    for (const at::Tensor& buffer : module.buffers()) all.push_back(buffer);
    return all;
  };
  // Not Module::load: it puts other memory under the parameters, and gradients would not be seen any more.
  items_.push_back({name, "module",
                    [tensors](auto& archive) {
                      int number = 0;
                      for (const at::Tensor& tensor : tensors()) {
                        archive.write(absl::StrCat("tensor", number++), tensor.detach(), true);
                      }
                    },
                    [tensors](auto& archive) {
                      const c10::NoGradGuard no_grad;
                      int number = 0;
                      for (const at::Tensor& tensor : tensors()) {
                        at::Tensor value;
                        archive.read(absl::StrCat("tensor", number++), value, true);
                        tensor.copy_(value);
                      }
                    }});
}

void State::Add(const std::string& name, torch::optim::Optimizer& optimizer) {
  items_.push_back({name, "optimizer", [&optimizer](auto& archive) { optimizer.save(archive); },
                    [&optimizer](auto& archive) {
                      optimizer.state().clear();  // load() leaves what the archive does not have
                      optimizer.load(archive);
                    }});
}

void State::Add(const std::string& name, int64_t& number) {
  items_.push_back({name, "number",
                    [&number](auto& archive) { archive.write("value", c10::IValue(number)); },
                    [&number](auto& archive) {
                      c10::IValue value;
                      archive.read("value", value);
                      number = value.toInt();
                    }});
}

void State::Add(const std::string& name, at::Tensor tensor) {
  items_.push_back({name, "tensor",
                    [tensor](auto& archive) { archive.write("value", tensor.detach(), true); },
                    [tensor](auto& archive) {
                      const c10::NoGradGuard no_grad;
                      at::Tensor value;
                      archive.read("value", value, true);
                      tensor.copy_(value);
                    }});
}

absl::StatusOr<std::string> State::Save() const {
  return TorchGuard("save the state", [&] {
    torch::serialize::OutputArchive all;
    for (size_t i = 0; i < items_.size(); ++i) {
      torch::serialize::OutputArchive one(all.compilation_unit());
      items_[i].save(one);
      all.write(absl::StrCat("item", i), one);
    }
    std::ostringstream stream;
    all.save_to(stream);
    return stream.str();
  });
}

absl::Status State::Load(const std::string& bytes) {
  return TorchGuard("restore the state", [&] {
    torch::serialize::InputArchive all;
    all.load_from(bytes.data(), bytes.size());
    for (size_t i = 0; i < items_.size(); ++i) {
      torch::serialize::InputArchive one;
      all.read(absl::StrCat("item", i), one);
      items_[i].load(one);
    }
  });
}

absl::Status State::Commit() {
  SLUICE_ASSIGN_OR_RETURN(committed_, Save());
  return absl::OkStatus();
}

absl::Status State::Restore() { return committed_.empty() ? absl::OkStatus() : Load(committed_); }

absl::Status State::Sync() {
  SessionCore& core = session_.core();
  std::vector<std::string> items;
  for (const Item& item : items_) {
    items.push_back(absl::StrCat(item.kind, " \"", item.name, "\""));
  }
  std::string bytes;
  if (session_.rank() == 0) {
    SLUICE_ASSIGN_OR_RETURN(bytes, Save());
  }
  SLUICE_RETURN_IF_ERROR(core.Collectively([&] {
    SLUICE_RETURN_IF_ERROR(core.world().Agree("Sync of a State", items, core.patience()));
    return core.world().Share(0, bytes);
  }));
  if (session_.rank() != 0) SLUICE_RETURN_IF_ERROR(Load(bytes));
  committed_ = std::move(bytes);
  return absl::OkStatus();
}

absl::Status RunElastic(Session& session, State& state, const std::function<absl::Status()>& fn) {
  SessionCore& core = session.core();
  for (;;) {
    absl::Status status = state.Sync();
    if (status.ok()) status = fn();
    if (status.ok()) status = session.Barrier();
    if (status.ok() || !core.member().elastic() || core.stopping()) return status;
    // An error of the program's own is everybody's end.
    SLUICE_RETURN_IF_ERROR(core.NextGeneration(status));
    SLUICE_RETURN_IF_ERROR(state.Restore());
  }
}

}  // namespace sluice
