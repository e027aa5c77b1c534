#include "models/graph/analysis_report.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/graph/class_report.h"
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

double Percent(int64_t part, int64_t whole) {
  return whole > 0 ? 100 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

std::string AnalysisText(const NetworkAnalysis& analysis) {
  std::string text = absl::StrFormat(
      "%s: %d parameters, %d multiplications per sample, %d operators\n\n", analysis.name,
      analysis.parameters, analysis.macs, static_cast<int64_t>(analysis.graph.nodes.size()));
  absl::StrAppend(&text, ClassTable(analysis.graph, analysis.axes, analysis.classes));
  int64_t units = 0;
  for (const ChannelClass& channels : analysis.classes) {
    units += channels.prunable() ? channels.extent : 0;
  }
  absl::StrAppendFormat(&text, "%d units that hold %.1f %% of the parameters\n", units,
                        Percent(analysis.in_groups, analysis.parameters));
  for (const auto& smaller : analysis.smaller) {
    absl::StrAppendFormat(
        &text, "without %2.0f %% of each: %d parameters (%.1f %%), %d multiplications (%.1f %%)\n",
        100 * smaller.share, smaller.parameters, Percent(smaller.parameters, analysis.parameters),
        smaller.macs, Percent(smaller.macs, analysis.macs));
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

}  // namespace sluice::graph
