#include "models/graph/erase.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/graph/cut.h"
#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

absl::Status Refuse(const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("erasing: ", why));
}

/// Which nodes and values are left of one graph.
class Eraser {
 public:
  Eraser(const Graph& graph, const std::vector<Stretch>& stretches)
      : graph_(graph),
        joints_(graph.nodes.size(), Stretch::Joint::kNone),
        gone_(graph.nodes.size(), false),
        zero_(graph.values.size(), false),
        instead_(graph.values.size()) {
    std::iota(instead_.begin(), instead_.end(), 0);
    for (const Stretch& stretch : stretches) joints_[stretch.nodes.front()] = stretch.joint;
  }

  absl::Status Erase(const std::vector<bool>& erased, const std::vector<Stretch>& stretches) {
    const std::vector<bool> read_before = Read();
    for (size_t i = 0; i < stretches.size(); ++i) {
      if (!erased[i]) continue;
      for (int32_t node : stretches[i].nodes) Drop(node);
    }
    for (size_t index = 0; index < graph_.nodes.size(); ++index) {
      if (!gone_[index]) SLUICE_RETURN_IF_ERROR(Shrink(static_cast<int32_t>(index)));
    }
    const std::vector<bool> read = Read();
    for (size_t index = 0; index < graph_.nodes.size(); ++index) {
      const auto is_read = [&](const std::vector<bool>& by) {
        const std::vector<ValueId>& outputs = graph_.nodes[index].outputs;
        return std::any_of(outputs.begin(), outputs.end(), [&](ValueId id) { return by[id]; });
      };
      // What nobody read before stays, if it can.
      if (!is_read(read) && (is_read(read_before) || ReadsGone(graph_.nodes[index]))) {
        gone_[index] = true;
      }
    }
    return absl::OkStatus();
  }

  bool gone(int32_t node) const { return gone_[node]; }

  /// Parameters and buffers that only gone nodes read.
  std::vector<bool> GoneStates() const {
    std::vector<bool> states(graph_.values.size(), false);
    for (const bool gone : {true, false}) {
      for (size_t index = 0; index < graph_.nodes.size(); ++index) {
        if (gone_[index] != gone) continue;
        for (ValueId id : TensorsOf(graph_.nodes[index])) {
          if (!graph_.values[id].state.empty()) states[id] = gone;
        }
      }
    }
    return states;
  }

  void Tell(Cut* cut) const {
    for (size_t index = 0; index < graph_.nodes.size(); ++index) {
      if (gone_[index]) cut->gone.push_back(static_cast<int32_t>(index));
    }
    for (size_t id = 0; id < instead_.size(); ++id) {
      const ValueId other = instead_[id];
      const int32_t producer = graph_.values[other].producer;
      if (other == static_cast<ValueId>(id) || (producer >= 0 && gone_[producer])) continue;
      cut->instead.emplace_back(static_cast<ValueId>(id), other);
    }
  }

 private:
  /// What the node makes is zero.
  void Drop(int32_t node) {
    gone_[node] = true;
    for (ValueId id : graph_.nodes[node].outputs) zero_[id] = true;
  }

  absl::Status Shrink(int32_t index) {
    const Node& node = graph_.nodes[index];
    std::vector<ValueId> left;
    const std::vector<ValueId> all = TensorsOf(node);
    for (ValueId id : all) {
      if (!zero_[id]) left.push_back(instead_[id]);
    }
    if (left.size() == all.size()) return absl::OkStatus();
    if (joints_[index] != Stretch::Joint::kAdd && joints_[index] != Stretch::Joint::kConcatenate) {
      return Refuse(absl::StrCat(NameOf(node), " reads what would be gone"));
    }
    if (left.empty()) {
      Drop(index);
    } else if (left.size() == 1) {
      gone_[index] = true;
      instead_[node.outputs[0]] = left[0];
    }
    return absl::OkStatus();
  }

  bool ReadsGone(const Node& node) const {
    const std::vector<ValueId> inputs = TensorsOf(node);
    return std::any_of(inputs.begin(), inputs.end(), [&](ValueId id) {
      const int32_t producer = graph_.values[instead_[id]].producer;
      return producer >= 0 && gone_[producer];
    });
  }

  /// By value: whether an output depends on it.
  std::vector<bool> Read() const {
    std::vector<bool> read(graph_.values.size(), false);
    for (ValueId id : graph_.outputs) read[instead_[id]] = true;
    for (size_t i = graph_.nodes.size(); i > 0; --i) {
      const Node& node = graph_.nodes[i - 1];
      if (gone_[i - 1] || std::none_of(node.outputs.begin(), node.outputs.end(),
                                       [&](ValueId id) { return read[id]; })) {
        continue;
      }
      for (ValueId id : TensorsOf(node)) {
        if (!zero_[id]) read[instead_[id]] = true;
      }
    }
    return read;
  }

  const Graph& graph_;
  std::vector<Stretch::Joint> joints_;  // [node]
  std::vector<bool> gone_;              // [node]
  std::vector<bool> zero_;              // [value]: made by what is erased
  std::vector<ValueId> instead_;        // [value]: itself, or what is left of a joint
};

}  // namespace

absl::StatusOr<Cut> CutStretches(const Graph& graph, const AxisAnalysis& analysis,
                                 const std::vector<Stretch>& stretches,
                                 const std::vector<int32_t>& erased) {
  std::vector<bool> is_erased(stretches.size(), false);
  AtomMasks masks;
  for (int32_t index : erased) {
    if (index < 0 || index >= static_cast<int32_t>(stretches.size())) {
      return Refuse(absl::StrCat("there is no stretch ", index, " among ", stretches.size()));
    }
    const Stretch& stretch = stretches[index];
    if (!stretch.erasable()) {
      return Refuse(absl::StrCat("stretch ", index, " cannot go: ", stretch.reasons[0]));
    }
    is_erased[index] = true;
    for (AxisId atom : stretch.channels) {
      masks.emplace(atom,
                    std::vector<bool>(static_cast<size_t>(analysis.table.extent(atom)), false));
    }
  }
  if (const auto breach = ErasureBreach(graph, stretches, is_erased)) return Refuse(*breach);
  Eraser eraser(graph, stretches);
  SLUICE_RETURN_IF_ERROR(eraser.Erase(is_erased, stretches));

  const Cut whole = CutAtoms(graph, analysis, masks);
  const std::vector<bool> gone_states = eraser.GoneStates();
  Cut cut;
  eraser.Tell(&cut);
  for (size_t id = 0; id < graph.values.size(); ++id) {
    if (graph.values[id].state.empty() || gone_states[id]) continue;
    for (const Slice& slice : whole.kept) {
      if (slice.state != graph.values[id].state) continue;
      if (slice.indices.empty()) {
        return Refuse(absl::StrCat("nothing would be left of ", slice.state));
      }
      cut.kept.push_back(slice);
    }
  }
  for (const Cut::Constant& constant : whole.constants) {
    if (!eraser.gone(constant.node)) cut.constants.push_back(constant);
  }
  return cut;
}

}  // namespace sluice::graph
