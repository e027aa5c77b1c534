#include "orchestrator/report/pruned_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

double Times(int64_t before, int64_t after) {
  return static_cast<double>(before) / static_cast<double>(std::max<int64_t>(1, after));
}

}  // namespace

std::string PrunedText(const PrunedNetwork& pruned, const std::string& checkpoint,
                       const std::string& out) {
  size_t width = 5;
  for (const PrunedNetwork::Layer& layer : pruned.layers)
    width = std::max(width, layer.name.size());
  for (const PrunedNetwork::Operator& gone : pruned.erased)
    width = std::max(width, gone.name.size());
  std::string text = absl::StrFormat("%-*s  %8s  %8s\n", width, "layer", "kept", "of");
  for (const PrunedNetwork::Layer& layer : pruned.layers) {
    absl::StrAppendFormat(&text, "%-*s  %8d  %8d\n", width, layer.name, layer.kept, layer.units);
  }
  for (const PrunedNetwork::Operator& gone : pruned.erased) {
    absl::StrAppendFormat(&text, "%-*s    erased, with %d parameters\n", width, gone.name,
                          gone.parameters);
  }
  absl::StrAppendFormat(
      &text, "%s%s\nparameters %d of %d (x%.2f), multiplications of a sample %d of %d (x%.2f)\n",
      checkpoint, pruned.of_average ? ", its average of weights" : "", pruned.parameters,
      pruned.parameters_before, Times(pruned.parameters_before, pruned.parameters), pruned.macs,
      pruned.macs_before, Times(pruned.macs_before, pruned.macs));
  absl::StrAppendFormat(&text, "%s computes the same, to %.1e of the largest output\n", out,
                        pruned.difference);
  return text;
}

std::string PrunedJson(const PrunedNetwork& pruned, const std::string& checkpoint,
                       const std::string& out) {
  nlohmann::ordered_json json;
  json["checkpoint"] = checkpoint;
  json["out"] = out;
  json["of_average"] = pruned.of_average;
  json["parameters_before"] = pruned.parameters_before;
  json["parameters"] = pruned.parameters;
  json["macs_before"] = pruned.macs_before;
  json["macs"] = pruned.macs;
  json["difference"] = pruned.difference;
  json["erased"] = nlohmann::ordered_json::array();
  for (const PrunedNetwork::Operator& gone : pruned.erased) {
    json["erased"].push_back({{"name", gone.name}, {"parameters", gone.parameters}});
  }
  json["layers"] = nlohmann::ordered_json::array();
  for (const PrunedNetwork::Layer& layer : pruned.layers) {
    json["layers"].push_back({{"name", layer.name}, {"units", layer.units}, {"kept", layer.kept}});
  }
  return json.dump();
}

}  // namespace sluice
