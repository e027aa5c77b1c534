#include "models/graph/stretches.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/graph/macs.h"
#include "models/graph/operators.h"
#include "models/graph/zero_invariance.h"
#include "models/graph/zero_labels.h"

namespace sluice::graph {
namespace {

void SortUnique(std::vector<int32_t>* list) {
  std::sort(list->begin(), list->end());
  list->erase(std::unique(list->begin(), list->end()), list->end());
}

Stretch::Joint JointOf(const Node& node) {
  // x + alpha y is y without x only if alpha is 1.
  if (node.op == "aten::add" && NumberAt(node, 2).value_or(1) == 1) return Stretch::Joint::kAdd;
  if (OperatorOf(node).axes == AxisRule::kCat) return Stretch::Joint::kConcatenate;
  return Stretch::Joint::kOther;
}

/// Builds the stretches of one graph.
class Finder {
 public:
  Finder(const Graph& graph, const AxisAnalysis& analysis)
      : graph_(graph),
        analysis_(analysis),
        live_(graph.values.size(), false),
        readers_(graph.values.size()),
        of_value_(graph.values.size(), -1),
        parameters_(graph.values.size()) {}

  std::vector<Stretch> Find() {
    FollowInputs();
    for (size_t index = 0; index < graph_.nodes.size(); ++index) {
      Place(static_cast<int32_t>(index));
    }
    std::map<ValueId, std::set<size_t>> users;
    for (size_t i = 0; i < stretches_.size(); ++i) {
      for (int32_t before : stretches_[i].before) {
        stretches_[before].after.push_back(static_cast<int32_t>(i));
      }
      for (ValueId id : stretches_[i].parameters) users[id].insert(i);
    }
    for (Stretch& stretch : stretches_) SortUnique(&stretch.after);
    const ZeroInvariance zeros(graph_, analysis_);
    for (size_t i = 0; i < stretches_.size(); ++i) {
      stretches_[i].reasons = ReasonsOf(static_cast<int32_t>(i), users, zeros);
    }
    return std::move(stretches_);
  }

 private:
  /// Marks what depends on the inputs, who reads it, and which parameters are in what does not.
  void FollowInputs() {
    for (ValueId id : graph_.inputs) live_[id] = true;
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      if (graph_.values[id].trainable) parameters_[id].push_back(static_cast<ValueId>(id));
    }
    for (size_t index = 0; index < graph_.nodes.size(); ++index) {
      const Node& node = graph_.nodes[index];
      const std::vector<ValueId> live = LiveInputs(node);
      for (ValueId id : live) readers_[id].push_back(static_cast<int32_t>(index));
      for (ValueId output : node.outputs) {
        live_[output] = !live.empty();
        if (live.empty()) parameters_[output] = ParametersOf(node);
      }
    }
  }

  /// The tensors that depend on the graph's inputs, each once.
  std::vector<ValueId> LiveInputs(const Node& node) const {
    std::vector<ValueId> live;
    for (ValueId id : TensorsOf(node)) {
      if (live_[id]) live.push_back(id);
    }
    SortUnique(&live);
    return live;
  }

  std::vector<ValueId> ParametersOf(const Node& node) const {
    std::vector<ValueId> parameters;
    for (ValueId id : TensorsOf(node)) {
      parameters.insert(parameters.end(), parameters_[id].begin(), parameters_[id].end());
    }
    SortUnique(&parameters);
    return parameters;
  }

  bool IsOutput(ValueId id) const {
    return std::find(graph_.outputs.begin(), graph_.outputs.end(), id) != graph_.outputs.end();
  }

  /// The stretch that the node goes on with; -1 = it starts one.
  int32_t ContinuedBy(const std::vector<ValueId>& live) const {
    if (live.size() != 1 || of_value_[live[0]] < 0) return -1;
    const Node& maker = graph_.nodes[graph_.values[live[0]].producer];
    size_t readers = 0;
    for (ValueId id : maker.outputs) {
      if (IsOutput(id)) return -1;
      readers += readers_[id].size();
    }
    const int32_t stretch = of_value_[live[0]];
    return readers == 1 && stretches_[stretch].joint == Stretch::Joint::kNone ? stretch : -1;
  }

  void Place(int32_t index) {
    const Node& node = graph_.nodes[index];
    const std::vector<ValueId> live = LiveInputs(node);
    if (live.empty()) return;
    int32_t at = ContinuedBy(live);
    if (at < 0) {
      at = static_cast<int32_t>(stretches_.size());
      Stretch& started = stretches_.emplace_back();
      if (live.size() > 1) started.joint = JointOf(node);
      for (ValueId id : live) {
        const bool may_alone = started.joint == Stretch::Joint::kConcatenate ||
                               graph_.values[id].shape == graph_.values[node.outputs[0]].shape;
        const int32_t before = of_value_[id];
        if (before < 0) {
          started.inputs.push_back(id);
          started.input_may_alone = started.input_may_alone || may_alone;
        } else {
          started.before.push_back(before);
          if (may_alone) started.may_alone.push_back(before);
        }
      }
      SortUnique(&started.before);
      SortUnique(&started.may_alone);
    }
    Stretch& stretch = stretches_[at];
    stretch.nodes.push_back(index);
    const std::vector<ValueId> parameters = ParametersOf(node);
    stretch.parameters.insert(stretch.parameters.end(), parameters.begin(), parameters.end());
    SortUnique(&stretch.parameters);
    for (ValueId id : node.outputs) {
      of_value_[id] = at;
      stretch.makes_output = stretch.makes_output || IsOutput(id);
    }
  }

  std::vector<std::string> ReasonsOf(int32_t index,
                                     const std::map<ValueId, std::set<size_t>>& users,
                                     const ZeroInvariance& zeros) {
    Stretch& stretch = stretches_[index];
    std::vector<std::string> reasons;
    if (stretch.joint != Stretch::Joint::kNone) reasons.emplace_back("it joins several tensors");
    if (stretch.makes_output) reasons.emplace_back("it makes the network's output");
    if (stretch.parameters.empty()) reasons.emplace_back("it has no trainable parameters");
    if (stretch.after.empty() && !stretch.makes_output) reasons.emplace_back("nothing reads it");
    for (int32_t next : stretch.after) {
      const Stretch& reader = stretches_[next];
      if (reader.joint == Stretch::Joint::kAdd || reader.joint == Stretch::Joint::kConcatenate) {
        continue;
      }
      reasons.push_back(absl::StrCat(NameOf(graph_.nodes[reader.nodes[0]]),
                                     " reads it, which needs all that it reads"));
    }
    for (ValueId id : stretch.parameters) {
      if (users.at(id).size() > 1) {
        reasons.push_back(absl::StrCat(graph_.values[id].state, " is used elsewhere too"));
      }
    }
    if (!reasons.empty()) return reasons;
    if (!GivesZeros(stretch)) {
      reasons.emplace_back("with its parameters at zero it does not give zeros");
    } else {
      CheckConcatenations(index, zeros, &reasons);
      SortUnique(&stretch.channels);
    }
    return reasons;
  }

  /// Behind a concatenation the erased channels are cut from all that reads them: they must be free, and nobody else's.
  void CheckConcatenations(int32_t index, const ZeroInvariance& zeros,
                           std::vector<std::string>* reasons) {
    Stretch& stretch = stretches_[index];
    std::vector<std::vector<AxisId>> wholes;  // of each concatenation all atoms
    for (int32_t next : stretch.after) {
      if (stretches_[next].joint != Stretch::Joint::kConcatenate) continue;
      const Node& cat = graph_.nodes[stretches_[next].nodes[0]];
      for (ValueId id : graph_.nodes[stretch.nodes.back()].outputs) {
        if (std::find(readers_[id].begin(), readers_[id].end(), stretches_[next].nodes[0]) ==
            readers_[id].end()) {
          continue;
        }
        const auto rank = static_cast<int64_t>(analysis_.axes[id].size());
        const int64_t dim = IntAt(cat, 1).value_or(0);
        if (dim < -rank || dim >= rank) {
          reasons->push_back(absl::StrCat(NameOf(cat), " has no such dimension"));
          continue;
        }
        const auto at = static_cast<size_t>(dim < 0 ? dim + rank : dim);
        for (AxisId atom : analysis_.table.Atoms(analysis_.axes[id][at])) {
          CheckOwned(stretch, atom, zeros, reasons);
          stretch.channels.push_back(atom);
        }
        wholes.push_back(analysis_.table.Atoms(analysis_.axes[cat.outputs[0]][at]));
      }
    }
    if (reasons->empty() && !wholes.empty()) CheckTogether(index, wholes, reasons);
  }

  /// Where others have these channels, they must have all of a concatenation: something is left of that.
  void CheckTogether(int32_t index, const std::vector<std::vector<AxisId>>& wholes,
                     std::vector<std::string>* reasons) const {
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      if (!live_[id] || of_value_[id] == index) continue;
      for (AxisId axis : analysis_.axes[id]) {
        const std::vector<AxisId> atoms = analysis_.table.Atoms(axis);
        const auto has = [&atoms](AxisId atom) {
          return std::binary_search(atoms.begin(), atoms.end(), atom);
        };
        const std::vector<AxisId>& own = stretches_[index].channels;
        if (std::none_of(own.begin(), own.end(), has) ||
            std::any_of(wholes.begin(), wholes.end(), [&](const std::vector<AxisId>& whole) {
              return std::all_of(whole.begin(), whole.end(), has);
            })) {
          continue;
        }
        const int32_t producer = graph_.values[id].producer;
        reasons->push_back(
            absl::StrCat(producer < 0 ? "an input" : NameOf(graph_.nodes[producer]),
                         " has its channels without all of those that they are concatenated with"));
        return;
      }
    }
  }

  void CheckOwned(const Stretch& stretch, AxisId atom, const ZeroInvariance& zeros,
                  std::vector<std::string>* reasons) const {
    if (analysis_.table.fixed(atom)) {
      reasons->push_back(
          absl::StrCat("its channels are fixed: ", analysis_.table.reasons(atom)[0]));
      return;
    }
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      for (size_t dim = 0; dim < analysis_.uses[id].size(); ++dim) {
        const AxisUse& use = analysis_.uses[id][dim];
        if ((!use.makes && !use.scales) ||
            !analysis_.table.Contains(analysis_.axes[id][dim], atom) ||
            std::binary_search(stretch.parameters.begin(), stretch.parameters.end(),
                               static_cast<ValueId>(id)) ||
            !graph_.values[id].trainable) {
          continue;
        }
        reasons->push_back(
            absl::StrCat(graph_.values[id].state, " makes or scales its channels too"));
        return;
      }
    }
    if (const auto breach = zeros.Breach(atom)) reasons->push_back(*breach);
  }

  bool GivesZeros(const Stretch& stretch) const {
    std::map<ValueId, ZeroLabel> labels;
    for (ValueId id : stretch.parameters) labels[id] = ZeroLabel::kZero;
    const std::function<ZeroLabel(ValueId)> label_of = [&](ValueId id) {
      const auto found = labels.find(id);
      if (found != labels.end()) return found->second;
      const int32_t producer = graph_.values[id].producer;
      if (live_[id] || producer < 0) return ZeroLabel::kAny;
      return FollowZeros(graph_.nodes[producer], label_of);
    };
    ZeroLabel label = ZeroLabel::kAny;
    for (int32_t index : stretch.nodes) {
      const Node& node = graph_.nodes[index];
      label = After(node, label_of);
      for (ValueId id : node.outputs) labels[id] = label;
    }
    return label == ZeroLabel::kZero;
  }

  static ZeroLabel After(const Node& node, const std::function<ZeroLabel(ValueId)>& label_of) {
    const auto zero = [&](size_t operand) {
      const ValueId id = TensorAt(node, operand);
      return id >= 0 && label_of(id) == ZeroLabel::kZero;
    };
    const auto zero_or_none = [&](size_t operand) {
      return NoneAt(node, operand) || zero(operand);
    };
    const auto label = [](bool is_zero) { return is_zero ? ZeroLabel::kZero : ZeroLabel::kAny; };
    const Operator& known = OperatorOf(node);
    if (known.zeros == ZeroRule::kNormalises) {
      const bool shape_first =
          known.axes == AxisRule::kGroupNorm || known.axes == AxisRule::kLayerNorm;
      return label(shape_first ? zero(2) && zero(3) : zero(1) && zero(2));
    }
    if (known.zeros != ZeroRule::kWeights) return FollowZeros(node, label_of);
    switch (known.axes) {
      case AxisRule::kMatmul:
        return label(zero(0) || zero(1));
      case AxisRule::kAddmm:
        return label(zero(0) && (zero(1) || zero(2)));
      case AxisRule::kEmbedding:
        return label(zero(0));
      default:
        return label((zero(0) || zero(1)) && zero_or_none(2));
    }
  }

  const Graph& graph_;
  const AxisAnalysis& analysis_;
  std::vector<bool> live_;                     // [value]: depends on an input
  std::vector<std::vector<int32_t>> readers_;  // [value]: nodes, if it is live
  std::vector<int32_t> of_value_;              // [value]: the stretch that makes it
  std::vector<std::vector<ValueId>>
      parameters_;  // [value]: trainable ones that it is made of, if it is not live
  std::vector<Stretch> stretches_;
};

bool Any(const std::vector<int32_t>& list, const std::vector<bool>& alive) {
  return std::any_of(list.begin(), list.end(), [&](int32_t i) { return alive[i]; });
}

/// A sum that only sums read, of stretches any of which may be left alone: without all of them it adds nothing.
bool IsTermOfSums(const std::vector<Stretch>& stretches, const Stretch& stretch) {
  return stretch.joint == Stretch::Joint::kAdd && stretch.inputs.empty() && !stretch.makes_output &&
         stretch.may_alone == stretch.before && !stretch.after.empty() &&
         std::all_of(stretch.after.begin(), stretch.after.end(),
                     [&](int32_t after) { return stretches[after].joint == Stretch::Joint::kAdd; });
}

absl::string_view ModuleOf(absl::string_view parameter) {
  const size_t dot = parameter.rfind('.');
  return dot == absl::string_view::npos ? parameter : parameter.substr(0, dot);
}

/// What both begin with, up to a dot.
absl::string_view CommonModule(absl::string_view a, absl::string_view b) {
  while (a != b && !absl::StartsWith(b, absl::StrCat(a, "."))) {
    const size_t dot = a.rfind('.');
    if (dot == absl::string_view::npos) return "";
    a = a.substr(0, dot);
  }
  return a;
}

int64_t Elements(const Value& value) {
  return std::accumulate(value.shape.begin(), value.shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

std::vector<Stretch> FindStretches(const Graph& graph, const AxisAnalysis& analysis) {
  return Finder(graph, analysis).Find();
}

std::optional<std::string> ErasureBreach(const Graph& graph, const std::vector<Stretch>& stretches,
                                         const std::vector<bool>& erased) {
  std::vector<bool> alive(stretches.size(), false);
  for (size_t i = 0; i < stretches.size(); ++i) {
    const Stretch& stretch = stretches[i];
    if (erased[i]) continue;
    const bool sums =
        stretch.joint == Stretch::Joint::kAdd || stretch.joint == Stretch::Joint::kConcatenate;
    const bool has_all = std::all_of(stretch.before.begin(), stretch.before.end(),
                                     [&](int32_t before) { return alive[before]; });
    alive[i] = has_all || (sums && (stretch.input_may_alone || Any(stretch.may_alone, alive)));
    if (alive[i] || IsTermOfSums(stretches, stretch)) continue;
    return absl::StrCat(NameOf(graph.nodes[stretch.nodes[0]]), " would be left without input");
  }
  // What reaches an output, and what did with nothing erased.
  std::vector<bool> reaches(stretches.size(), false), reached(stretches.size(), false);
  for (size_t i = stretches.size(); i > 0; --i) {
    const Stretch& stretch = stretches[i - 1];
    reaches[i - 1] = alive[i - 1] && (stretch.makes_output || Any(stretch.after, reaches));
    reached[i - 1] = stretch.makes_output || Any(stretch.after, reached);
    if (stretch.makes_output && !alive[i - 1]) {
      return absl::StrCat(NameOf(graph.nodes[stretch.nodes.back()]),
                          " makes an output, and would be gone");
    }
  }
  for (ValueId input : graph.inputs) {
    bool read = false, used = false;
    for (size_t i = 0; i < stretches.size(); ++i) {
      const std::vector<ValueId>& inputs = stretches[i].inputs;
      if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) continue;
      read = read || reached[i];
      used = used || reaches[i];
    }
    if (read && !used) {
      return absl::StrCat("input value ", input, " would reach no output");
    }
  }
  return std::nullopt;
}

std::vector<int32_t> ChooseErasures(const Graph& graph, const std::vector<Stretch>& stretches,
                                    const std::vector<int32_t>& order, size_t count) {
  std::vector<bool> erased(stretches.size(), false);
  std::vector<int32_t> chosen;
  for (int32_t candidate : order) {
    if (chosen.size() == count) break;
    if (!stretches[candidate].erasable() || erased[candidate]) continue;
    erased[candidate] = true;
    if (ErasureBreach(graph, stretches, erased)) {
      erased[candidate] = false;
    } else {
      chosen.push_back(candidate);
    }
  }
  return chosen;
}

std::string NameOf(const Graph& graph, const std::vector<Stretch>& stretches, int32_t stretch) {
  std::vector<absl::string_view> modules;
  absl::string_view common;
  const std::vector<ValueId>& own = stretches[stretch].parameters;
  for (ValueId id : own) {
    const absl::string_view module = ModuleOf(graph.values[id].state);
    if (std::find(modules.begin(), modules.end(), module) == modules.end()) {
      modules.push_back(module);
    }
    common = id == own.front() ? module : CommonModule(common, module);
  }
  const std::string prefix = absl::StrCat(common, ".");
  for (size_t id = 0; id < graph.values.size(); ++id) {
    const bool others = graph.values[id].trainable &&
                        !std::binary_search(own.begin(), own.end(), static_cast<ValueId>(id));
    if (others && absl::StartsWith(graph.values[id].state, prefix)) common = "";
  }
  return common.empty() ? absl::StrJoin(modules, "+") : std::string(common);
}

std::string StretchTable(const Graph& graph, const std::vector<Stretch>& stretches) {
  std::string text;
  for (size_t i = 0; i < stretches.size(); ++i) {
    if (stretches[i].parameters.empty()) continue;
    int64_t elements = 0;
    for (ValueId id : stretches[i].parameters) elements += Elements(graph.values[id]);
    absl::StrAppend(
        &text, NameOf(graph, stretches, static_cast<int32_t>(i)), ", ", elements, " parameters: ",
        stretches[i].erasable() ? "can be erased" : absl::StrJoin(stretches[i].reasons, "; "),
        "\n");
  }
  return text;
}

Group ErasureGroup(const Graph& graph, const std::vector<Stretch>& stretches, int32_t stretch) {
  Group group;
  group.class_id = stretch;
  for (ValueId id : stretches[stretch].parameters) {
    const Value& value = graph.values[id];
    Slice slice = {value.state, 0, {}};
    slice.indices.resize(value.shape.empty() ? 1 : static_cast<size_t>(value.shape[0]));
    std::iota(slice.indices.begin(), slice.indices.end(), 0);
    group.elements += Elements(value);
    group.slices.push_back(std::move(slice));
  }
  for (int32_t node : stretches[stretch].nodes) {
    group.macs += MultiplicationsOf(graph, graph.nodes[node]).count;
  }
  return group;
}

}  // namespace sluice::graph
