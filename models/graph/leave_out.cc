#include "models/graph/leave_out.h"

#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice::graph {
namespace {

std::vector<ValueId> Reads(const Step& step) {
  std::vector<ValueId> reads;
  for (const Argument& argument : step.arguments) {
    if (const auto* const id = std::get_if<ValueId>(&argument.of)) reads.push_back(*id);
    if (const auto* const tensors = std::get_if<Argument::Tensors>(&argument.of)) {
      for (const ValueId id : tensors->ids) {
        if (id >= 0) reads.push_back(id);
      }
    }
  }
  return reads;
}

std::string ModuleOf(const std::string& state) {
  const size_t dot = state.rfind('.');
  return dot == std::string::npos ? "" : state.substr(0, dot);
}

class Leaver {
 public:
  Leaver(const Cut& cut, Program* program)
      : program_(*program),
        gone_(cut.gone.begin(), cut.gone.end()),
        missing_(static_cast<size_t>(program->values), false),
        ids_(static_cast<size_t>(program->values)) {
    std::iota(ids_.begin(), ids_.end(), 0);
    for (const auto& [id, instead] : cut.instead) ids_[id] = instead;
  }

  absl::Status Leave() {
    for (const Step& step : program_.steps) {
      if (IsGone(step)) Miss(step);
    }
    MissStates();
    std::vector<Step> left;
    for (Step& step : program_.steps) {
      if (IsGone(step)) continue;
      if (step.node < 0 && ReadsMissing(step)) {
        Miss(step);
        continue;
      }
      SLUICE_RETURN_IF_ERROR(Replace(&step));
      left.push_back(std::move(step));
    }
    program_.steps = std::move(left);
    for (ValueId& id : program_.outputs) id = ids_[id];
    Renumber();
    return absl::OkStatus();
  }

 private:
  bool IsGone(const Step& step) const { return step.node >= 0 && gone_.count(step.node) > 0; }

  void Miss(const Step& step) {
    for (const ValueId id : step.outputs) missing_[id] = ids_[id] == id;
  }

  bool ReadsMissing(const Step& step) const {
    const std::vector<ValueId> reads = Reads(step);
    return std::any_of(reads.begin(), reads.end(), [&](ValueId id) { return missing_[id]; });
  }

  // Those that gone steps alone read; and of modules that lose all that others read, what only training does, such as
  // the count of batches.
  void MissStates() {
    const auto is_state = [&](ValueId id) {
      return id >= program_.inputs && id < program_.IdOfState(program_.states.size());
    };
    std::set<ValueId> read_by_gone, read_by_left;
    for (const Step& step : program_.steps) {
      if (step.node < 0) continue;
      for (const ValueId id : Reads(step)) {
        if (is_state(id)) (IsGone(step) ? read_by_gone : read_by_left).insert(id);
      }
    }
    std::set<std::string> emptied, used;
    const auto module_of = [&](ValueId id) {
      return ModuleOf(program_.states[static_cast<size_t>(id - program_.inputs)].name);
    };
    for (const ValueId id : read_by_left) used.insert(module_of(id));
    for (const ValueId id : read_by_gone) {
      if (read_by_left.count(id) > 0) continue;
      missing_[id] = true;
      emptied.insert(module_of(id));
    }
    for (size_t i = 0; i < program_.states.size(); ++i) {
      const ValueId id = program_.IdOfState(i);
      const std::string module = module_of(id);
      if (read_by_left.count(id) == 0 && emptied.count(module) > 0 && used.count(module) == 0) {
        missing_[id] = true;
      }
    }
  }

  absl::Status Replace(Step* step) {
    const auto refuse = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("erasing: ", step->kind.toQualString(), ", node ", step->node, ", ", why));
    };
    for (Argument& argument : step->arguments) {
      if (auto* const id = std::get_if<ValueId>(&argument.of)) {
        if (missing_[*id]) return refuse("reads what would be gone");
        *id = ids_[*id];
      }
      if (auto* const tensors = std::get_if<Argument::Tensors>(&argument.of)) {
        std::vector<ValueId> left;
        for (const ValueId id : tensors->ids) {
          if (id < 0 || !missing_[id]) left.push_back(id < 0 ? id : ids_[id]);
        }
        tensors->ids = std::move(left);
      }
    }
    if (step->node < 0) return absl::OkStatus();
    const std::string kind = step->kind.toQualString();
    if (absl::EndsWith(kind, "_") && !absl::EndsWith(kind, "__")) {
      step->kind = c10::Symbol::fromQualString(kind.substr(0, kind.size() - 1));
      if (torch::jit::getAllOperatorsFor(step->kind).empty()) {
        return refuse("works in place alone");
      }
    }
    // What is left of a joint may lie in memory in another order.
    const bool by_sizes = step->arguments.size() == 2 &&
                          std::holds_alternative<Argument::Numbers>(step->arguments[1].of);
    if (kind == "aten::view" && by_sizes) step->kind = c10::Symbol::fromQualString("aten::reshape");
    return absl::OkStatus();
  }

  void Renumber() {
    std::vector<State> states;
    std::vector<ValueId> to(ids_.size());
    int32_t removed = 0;
    for (size_t id = 0; id < to.size(); ++id) {
      to[id] = static_cast<ValueId>(id) - removed;
      const size_t state = id - static_cast<size_t>(program_.inputs);
      if (id < static_cast<size_t>(program_.inputs) || state >= program_.states.size()) continue;
      if (missing_[id]) {
        ++removed;
      } else {
        states.push_back(std::move(program_.states[state]));
      }
    }
    program_.states = std::move(states);
    program_.values -= removed;
    for (Step& step : program_.steps) {
      for (ValueId& id : step.outputs) id = to[id];
      for (Argument& argument : step.arguments) {
        if (auto* const id = std::get_if<ValueId>(&argument.of)) *id = to[*id];
        if (auto* const tensors = std::get_if<Argument::Tensors>(&argument.of)) {
          for (ValueId& id : tensors->ids) id = id < 0 ? id : to[id];
        }
      }
    }
    for (ValueId& id : program_.outputs) id = to[id];
  }

  Program& program_;
  const std::set<int32_t> gone_;
  std::vector<bool> missing_;  // [value]
  std::vector<ValueId> ids_;   // [value]: what is read in its place
};

}  // namespace

absl::Status LeaveOut(const Cut& cut, Program* program) {
  if (cut.gone.empty()) return absl::OkStatus();
  return Leaver(cut, program).Leave();
}

}  // namespace sluice::graph
