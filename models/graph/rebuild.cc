#include "models/graph/rebuild.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "models/torch_guard.h"

namespace sluice::graph {
namespace {

using torch::jit::Module;
using torch::jit::Value;

class Rebuilder {
 public:
  explicit Rebuilder(const Program& program)
      : program_(program),
        unit_(std::make_shared<torch::jit::CompilationUnit>()),
        root_("__torch__.Network", unit_) {}

  Module Build() {
    root_.register_attribute("training", c10::BoolType::get(), false);
    for (const State& state : program_.states) {
      const at::Tensor tensor = state.tensor.detach().clone().set_requires_grad(state.trainable);
      Register(state.name, tensor, state);
      for (const std::string& alias : state.aliases) Register(alias, tensor, state);
    }
    Attach("", root_);
    AddForward();
    return root_;
  }

 private:
  struct Attribute {
    std::string name;
    at::Tensor tensor;
    bool buffer = false;
  };
  // A module before it is made: modules share their type's layout, so children come after all attributes.
  struct Part {
    std::vector<Attribute> attributes;
    std::vector<std::string> children;
  };

  // "a.b.weight": attribute weight of part "a.b".
  void Register(const std::string& name, const at::Tensor& tensor, const State& state) {
    const size_t dot = name.rfind('.');
    const std::string path = dot == std::string::npos ? "" : name.substr(0, dot);
    std::string parent;
    for (const absl::string_view child : absl::StrSplit(path, '.', absl::SkipEmpty())) {
      const std::string whole = absl::StrCat(parent, parent.empty() ? "" : ".", child);
      if (parts_.emplace(whole, Part()).second) parts_[parent].children.emplace_back(child);
      parent = whole;
    }
    parts_[path].attributes.push_back(
        {dot == std::string::npos ? name : name.substr(dot + 1), tensor, !state.parameter});
  }

  void Attach(const std::string& path, Module& module) {
    for (const Attribute& attribute : parts_[path].attributes) {
      module.register_parameter(attribute.name, attribute.tensor, attribute.buffer);
    }
    for (const std::string& name : parts_[path].children) {
      Module child(absl::StrCat("__torch__.Part", made_++), unit_);
      Attach(absl::StrCat(path, path.empty() ? "" : ".", name), child);
      module.register_module(name, child);
    }
  }

  void AddForward() {
    const std::shared_ptr<torch::jit::Graph> graph = EmitGraph(program_);
    Value* const self = graph->insertInput(0, "self");
    self->setType(root_._ivalue()->type());
    const torch::jit::WithInsertPoint first(*graph->nodes().begin());
    const auto read = [&](size_t input, const std::string& name) {
      Value* value = self;
      for (const std::string& attribute : std::vector<std::string>(absl::StrSplit(name, '.'))) {
        value = graph->insertNode(graph->createGetAttr(value, attribute))->output();
      }
      graph->inputs()[input]->replaceAllUsesWith(value);
    };
    const size_t states = 1 + program_.inputs;
    for (size_t i = 0; i < program_.states.size(); ++i) read(states + i, program_.states[i].name);
    read(states + program_.states.size(), "training");
    for (size_t i = states + program_.states.size() + 1; i-- > states;) graph->eraseInput(i);
    torch::jit::Function* const forward = unit_->create_function(
        c10::QualifiedName(*root_._ivalue()->type()->name(), "forward"), graph);
    root_._ivalue()->type()->addMethod(forward);
  }

  const Program& program_;
  const std::shared_ptr<torch::jit::CompilationUnit> unit_;  // with the modules made from it
  Module root_;
  std::map<std::string, Part> parts_;
  int made_ = 0;
};

}  // namespace

absl::StatusOr<Module> Rebuild(const Program& program, const Cut& cut) {
  SLUICE_ASSIGN_OR_RETURN(const Program smaller, ApplyCut(program, cut));
  return TorchGuard("rebuilding a network", [&] { return Rebuilder(smaller).Build(); });
}

}  // namespace sluice::graph
