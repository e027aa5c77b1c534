#include "models/graph/analysis_report.h"

#include <algorithm>
#include <map>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "models/graph/operators.h"
#include "nlohmann/json.hpp"

namespace sluice::graph {
namespace {

std::vector<std::string> StatesOf(const Graph& graph, const std::vector<AxisPlace>& places) {
  std::vector<std::string> names;
  for (const AxisPlace& place : places) {
    const std::string& name = graph.values[place.state].state;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string Some(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  if (names.size() <= kShown) return absl::StrJoin(names, ", ");
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + kShown, ", "), " and ",
                      names.size() - kShown, " more");
}

double Percent(int64_t part, int64_t whole) {
  return whole > 0 ? 100 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

std::string AnalysisText(const NetworkAnalysis& analysis) {
  std::string text = absl::StrFormat(
      "%s: %d parameters, %d multiplications per sample, %d operators\n\n", analysis.name,
      analysis.parameters, analysis.macs, static_cast<int64_t>(analysis.graph.nodes.size()));
  absl::StrAppendFormat(&text, "%5s  %6s  %-8s  %s\n", "class", "units", "", "made by");
  int64_t prunable = 0, units = 0;
  for (const ChannelClass& channels : analysis.classes) {
    prunable += channels.prunable() ? 1 : 0;
    units += channels.prunable() ? channels.extent : 0;
    const auto makers = StatesOf(analysis.graph, channels.makers);
    absl::StrAppendFormat(
        &text, "%5d  %6d  %-8s  %s\n", channels.id, channels.extent,
        channels.prunable() ? "prunable" : "kept",
        Some(makers.empty() ? StatesOf(analysis.graph, channels.scalers) : makers));
    for (const std::string& reason : channels.reasons) {
      absl::StrAppend(&text, "                         ", reason, "\n");
    }
  }
  absl::StrAppendFormat(
      &text, "\n%d of %d classes can be pruned: %d units that hold %.1f %% of the parameters\n",
      prunable, static_cast<int64_t>(analysis.classes.size()), units,
      Percent(analysis.in_groups, analysis.parameters));
  for (const auto& smaller : analysis.smaller) {
    absl::StrAppendFormat(
        &text, "without %2.0f %% of each: %d parameters (%.1f %%), %d multiplications (%.1f %%)\n",
        100 * smaller.share, smaller.parameters, Percent(smaller.parameters, analysis.parameters),
        smaller.macs, Percent(smaller.macs, analysis.macs));
  }
  for (const std::string& one : analysis.unsupported) {
    absl::StrAppend(&text, "unsupported: ", one, "\n");
  }
  for (const std::string& note : analysis.notes) absl::StrAppend(&text, "note: ", note, "\n");
  return text;
}

std::string AnalysisJson(const NetworkAnalysis& analysis) {
  using Json = nlohmann::ordered_json;
  Json json = {{"network", analysis.name},
               {"parameters", analysis.parameters},
               {"macs", analysis.macs},
               {"operators", analysis.graph.nodes.size()},
               {"parameters_in_groups", analysis.in_groups},
               {"classes", Json::array()},
               {"without", Json::array()},
               {"unsupported", analysis.unsupported},
               {"notes", analysis.notes}};
  for (const ChannelClass& channels : analysis.classes) {
    json["classes"].push_back({{"id", channels.id},
                               {"units", channels.extent},
                               {"prunable", channels.prunable()},
                               {"reasons", channels.reasons},
                               {"makers", StatesOf(analysis.graph, channels.makers)},
                               {"scalers", StatesOf(analysis.graph, channels.scalers)},
                               {"readers", StatesOf(analysis.graph, channels.readers)}});
  }
  for (const auto& smaller : analysis.smaller) {
    json["without"].push_back(
        {{"share", smaller.share}, {"parameters", smaller.parameters}, {"macs", smaller.macs}});
  }
  return json.dump();
}

std::string AnalysisDot(const NetworkAnalysis& analysis) {
  const Graph& graph = analysis.graph;
  // A layer's class; colours go round.
  std::map<ValueId, int32_t> made;
  for (const ChannelClass& channels : analysis.classes) {
    if (!channels.prunable()) continue;
    for (const AxisPlace& place : channels.makers) made.emplace(place.state, channels.id);
  }
  const auto quoted = [](absl::string_view text) {
    return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
  };
  constexpr int kColours = 12;  // of Graphviz's scheme set312
  std::string dot =
      "digraph network {\n  node [shape=box, style=filled, colorscheme=set312, "
      "fillcolor=white];\n";
  for (const ValueId input : graph.inputs) {
    absl::StrAppend(&dot, "  v", input, " [shape=oval, label=\"input ",
                    absl::StrJoin(graph.values[input].shape, " x "), "\"];\n");
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    std::string label = node.op, colour;
    for (const ValueId id : TensorsOf(node)) {
      if (graph.values[id].state.empty()) continue;
      absl::StrAppend(&label, "\n", graph.values[id].state);
      const auto channels = made.find(id);
      if (channels == made.end()) continue;
      absl::StrAppend(&label, " (class ", channels->second, ")");
      colour = absl::StrCat(", fillcolor=", 1 + channels->second % kColours);
    }
    absl::StrAppend(&dot, "  n", i, " [label=", absl::StrReplaceAll(quoted(label), {{"\n", "\\n"}}),
                    colour, "];\n");
    for (const ValueId id : TensorsOf(node)) {
      const Value& value = graph.values[id];
      if (!value.state.empty()) continue;
      absl::StrAppend(&dot, "  ", value.producer >= 0 ? "n" : "v",
                      value.producer >= 0 ? value.producer : id, " -> n", i, " [label=\"",
                      absl::StrJoin(value.shape, " x "), "\"];\n");
    }
  }
  absl::StrAppend(&dot, "}\n");
  return dot;
}

}  // namespace sluice::graph
