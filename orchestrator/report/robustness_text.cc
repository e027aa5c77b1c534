#include "orchestrator/report/robustness_text.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

// What was right, by the attack's name in JSON.
std::vector<std::pair<std::string, int64_t>> Right(const RobustnessCounts& counts) {
  return {{"clean", counts.clean},
          {"fgsm", counts.fgsm},
          {"pgd20", counts.pgd20},
          {"pgd50", counts.pgd50},
          {"worst_case", counts.worst_case}};
}

Json Number(double value) { return std::isinf(value) ? Json("inf") : Json(value); }

std::string Short(double value) {
  return std::isinf(value) ? "inf" : absl::StrFormat("%.4g", value);
}

}  // namespace

std::string RobustnessText(const RobustnessReport& report, double eps) {
  const double samples = static_cast<double>(report.counts.samples);
  std::string text =
      absl::StrFormat("%d test images, eps %.4g of the pixels' range%s\n\n", report.counts.samples,
                      eps, report.of_average ? ", the weights' average" : "");
  for (const auto& [name, right] : Right(report.counts)) {
    absl::StrAppendFormat(&text, "  %-12s %6.2f %%\n", name,
                          100 * static_cast<double>(right) / samples);
  }
  absl::StrAppendFormat(&text, "\n  %-28s %11s %8s %6s %9s %9s %9s %9s %11s\n", "layer",
                        "size", "sparsity", "rank", "sigma_max", "sigma_min", "kappa", "nonzero",
                        "lipschitz");
  for (const LayerSpectrum& layer : report.spectra) {
    absl::StrAppendFormat(&text, "  %-28s %11s %8.4f", layer.layer,
                          absl::StrCat(layer.rows, "x", layer.cols), layer.sparsity);
    if (layer.complete) {
      absl::StrAppendFormat(&text, " %6d %9s %9s %9s %9s", layer.rank, Short(layer.sigma_max),
                            Short(layer.sigma_min), Short(layer.kappa), Short(layer.kappa_nonzero));
    } else {
      absl::StrAppendFormat(&text, " %6s %9s %9s %9s %9s", "-",
                            absl::StrCat(">=", Short(layer.sigma_max)), "-", "-", "-");
    }
    absl::StrAppendFormat(&text, " %11s\n", absl::StrCat("<=", Short(layer.lipschitz)));
  }
  absl::StrAppendFormat(&text, "\n  mean log kappa %.3f\n", MeanLogKappa(report.spectra));
  for (const std::string& alarm : report.alarms)
    absl::StrAppend(&text, "  doubtful: ", alarm, "\n");
  return text;
}

std::string RobustnessJson(const RobustnessReport& report, const std::string& checkpoint,
                           double eps) {
  Json json;
  json["event"] = "robustness";
  json["checkpoint"] = checkpoint;
  json["eps"] = eps;
  json["average"] = report.of_average;
  json["samples"] = report.counts.samples;
  for (const auto& [name, right] : Right(report.counts)) json["right"][name] = right;
  json["mean_log_kappa"] = MeanLogKappa(report.spectra);
  json["layers"] = Json::array();
  for (const LayerSpectrum& layer : report.spectra) {
    Json one;
    one["layer"] = layer.layer;
    one["rows"] = layer.rows;
    one["cols"] = layer.cols;
    one["groups"] = layer.groups;
    one["sparsity"] = layer.sparsity;
    one["complete"] = layer.complete;
    one["sigma_max"] = layer.sigma_max;
    one["lipschitz"] = layer.lipschitz;
    if (layer.complete) {
      one["rank"] = layer.rank;
      one["sigma_min"] = layer.sigma_min;
      one["kappa"] = Number(layer.kappa);
      one["kappa_nonzero"] = Number(layer.kappa_nonzero);
      one["kappa_compact"] = Number(layer.kappa_compact);
      one["phi"] = layer.phi;
    }
    json["layers"].push_back(std::move(one));
  }
  json["alarms"] = report.alarms;
  return json.dump();
}

}  // namespace sluice
