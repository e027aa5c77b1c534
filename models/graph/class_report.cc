#include "models/graph/class_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "models/graph/operators.h"

namespace sluice::graph {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string Names(const Graph& graph, const std::vector<AxisPlace>& places) {
  constexpr size_t kShown = 3;
  std::vector<std::string> names;
  for (const AxisPlace& place : places) {
    const std::string& name = graph.values[place.state].state;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  const size_t more = names.size() > kShown ? names.size() - kShown : 0;
  names.resize(names.size() - more);
  std::string text = absl::StrJoin(names, ", ");
  if (more > 0) absl::StrAppend(&text, " and ", more, " more");
  return text.empty() ? "-" : text;
}

/// Trainable elements that make or scale the class.
int64_t ElementsOf(const Graph& graph, const AxisAnalysis& analysis, const ChannelClass& channels) {
  int64_t elements = 0;
  for (const std::vector<AxisPlace>* places : {&channels.makers, &channels.scalers}) {
    for (const AxisPlace& place : *places) {
      const Value& state = graph.values[place.state];
      const auto dim = static_cast<size_t>(place.dim);
      const auto units = analysis.table.UnitsAlong(analysis.axes[place.state][dim], channels.atom);
      if (!state.trainable || !units) continue;
      const int64_t in_unit = std::count(units->begin(), units->end(), 0);
      elements += in_unit * channels.extent * (Elements(state.shape) / state.shape[dim]);
    }
  }
  return elements;
}

std::string Quoted(const std::string& text) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", " "}}), "\"");
}

}  // namespace

std::string ClassTable(const Graph& graph, const AxisAnalysis& analysis,
                       const std::vector<ChannelClass>& classes) {
  std::string text = absl::StrFormat("%5s %7s %9s %11s  %s\n", "class", "units", "multiple",
                                     "parameters", "made by <- read by, or why it is not pruned");
  size_t prunable = 0;
  for (const ChannelClass& channels : classes) {
    const int64_t per_unit = ElementsOf(graph, analysis, channels) / channels.extent;
    absl::StrAppendFormat(&text, "%5d %7d %9d %11d  %s <- %s\n", channels.id, channels.extent,
                          channels.divisor, per_unit, Names(graph, channels.makers),
                          Names(graph, channels.readers));
    prunable += channels.prunable() ? 1 : 0;
    for (const std::string& reason : channels.reasons) {
      absl::StrAppend(&text, "      kept: ", reason, "\n");
    }
  }
  absl::StrAppend(&text, prunable, " of ", classes.size(), " classes can be pruned\n");
  for (const AxisAnalysis::Unsupported& unsupported : analysis.unsupported) {
    const std::string reason = ReasonOf(graph, unsupported);
    std::vector<int32_t> fixed;
    int64_t elements = 0;
    for (const ChannelClass& channels : classes) {
      if (std::find(channels.reasons.begin(), channels.reasons.end(), reason) ==
          channels.reasons.end()) {
        continue;
      }
      fixed.push_back(channels.id);
      elements += ElementsOf(graph, analysis, channels);
    }
    absl::StrAppend(&text, "not supported: ", reason, "; it keeps ", fixed.size(), " classes (",
                    absl::StrJoin(fixed, ", "), ") with ", elements, " parameters\n");
  }
  return text;
}

std::string ClassDot(const Graph& graph, const AxisAnalysis& analysis,
                     const std::vector<ChannelClass>& classes) {
  std::string text = "digraph network {\n  node [shape=box, style=filled, fillcolor=white];\n";
  std::set<int32_t> unsupported;
  for (const AxisAnalysis::Unsupported& one : analysis.unsupported) unsupported.insert(one.node);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    absl::StrAppend(&text, "  v", graph.inputs[i], " [label=\"input ", i, "\", shape=oval];\n");
  }
  for (size_t index = 0; index < graph.nodes.size(); ++index) {
    const Node& node = graph.nodes[index];
    std::string label = node.op, color = "white";
    for (ValueId id : TensorsOf(node)) {
      if (!graph.values[id].state.empty()) absl::StrAppend(&label, " ", graph.values[id].state);
    }
    for (const ChannelClass& channels : classes) {
      const std::vector<AxisId>& axes = analysis.axes[node.outputs[0]];
      if (!channels.prunable() || std::none_of(axes.begin(), axes.end(), [&](AxisId axis) {
            return analysis.table.Contains(axis, channels.atom);
          })) {
        continue;
      }
      // Hues a golden section apart stay far from each other however many there are.
      color = absl::StrFormat("%.3f 0.4 1.0", std::fmod(0.618034 * channels.id, 1.0));
      absl::StrAppend(&label, " [class ", channels.id, "]");
    }
    if (unsupported.count(static_cast<int32_t>(index)) > 0) color = "red";
    absl::StrAppend(&text, "  n", index, " [label=", Quoted(label), ", fillcolor=", Quoted(color),
                    "];\n");
    for (ValueId id : TensorsOf(node)) {
      const int32_t producer = graph.values[id].producer;
      const bool is_input =
          std::find(graph.inputs.begin(), graph.inputs.end(), id) != graph.inputs.end();
      if (producer >= 0) absl::StrAppend(&text, "  n", producer, " -> n", index, ";\n");
      if (is_input) absl::StrAppend(&text, "  v", id, " -> n", index, ";\n");
    }
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    absl::StrAppend(&text, "  o", i, " [label=\"output ", i, "\", shape=oval];\n");
    const int32_t producer = graph.values[graph.outputs[i]].producer;
    if (producer >= 0) absl::StrAppend(&text, "  n", producer, " -> o", i, ";\n");
  }
  return text + "}\n";
}

}  // namespace sluice::graph
