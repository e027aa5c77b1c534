#include "orchestrator/report/plan_text.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "orchestrator/report/job_json.h"
#include "orchestrator/report/units.h"
#include "policies/compression/codec_name.h"
#include "policies/compression/compression_policy.h"

namespace sluice {
namespace {

std::string Milliseconds(double seconds) { return absl::StrFormat("%.2f ms", 1e3 * seconds); }

std::string Error(double error) {
  return std::isfinite(error) ? absl::StrFormat("%.4g", error) : "unknown";
}

std::string Relative(double relative) {
  return std::isfinite(relative) ? absl::StrFormat("%.2f %%", 100 * relative) : "unknown";
}

std::string Totals(const proto::Compression& config, const PlanReport& report) {
  std::string text = absl::StrCat("sent per rank and step  ", BytesText(report.bytes), "; raw ",
                                  BytesText(report.raw_bytes));
  if (report.bytes > 0) absl::StrAppendFormat(&text, " (x%.2f)", report.raw_bytes / report.bytes);
  if (report.uniform_bytes) {
    absl::StrAppend(&text, ", uniform ", CodecName(UniformCodec(config)), " ",
                    BytesText(*report.uniform_bytes));
    if (*report.uniform_bytes > 0) {
      absl::StrAppendFormat(&text, " (%.1f %% of it)", 100 * report.bytes / *report.uniform_bytes);
    }
  }
  absl::StrAppend(&text, "\nerror (", config.metric(), ")  ", Error(report.error));
  if (report.budget) {
    absl::StrAppend(&text, " of a budget of ", Error(*report.budget));
    if (*report.budget > 0) {
      absl::StrAppendFormat(&text, " (%.1f %%)", 100 * report.error / *report.budget);
    }
  }
  if (!report.time) {
    absl::StrAppend(&text,
                    "\nexposed time  not known: the statistics have no times; give "
                    "--network and --backward\n");
    return text;
  }
  absl::StrAppend(&text, "\nexposed time  ", Milliseconds(report.time->exposed_seconds), " of ",
                  Milliseconds(report.time->communication_seconds), " communication; raw ",
                  Milliseconds(report.raw_time->exposed_seconds));
  if (report.uniform_time) {
    absl::StrAppend(&text, ", uniform ", Milliseconds(report.uniform_time->exposed_seconds));
  }
  return text + "\n";
}

}  // namespace

std::string PlanText(const proto::Compression& config, const proto::WindowStatistics& window,
                     const proto::CompressionPolicy& plan, const PlanReport& report, bool explain) {
  int width = 5;
  for (const LayerReport& layer : report.layers) {
    width = std::max(width, static_cast<int>(layer.name.size()));
  }
  std::string text = absl::StrFormat("window %d (to step %d)", window.window(), window.last_step());
  if (window.world_size() > 0) absl::StrAppend(&text, ", ", window.world_size(), " ranks");
  absl::StrAppend(&text, ", policy ", config.policy(), "\n");
  absl::StrAppendFormat(&text, "%-*s %12s  %-16s %12s %12s %10s\n", width, "layer", "elements",
                        "codec", "bytes", "error", "relative");
  for (const LayerReport& layer : report.layers) {
    absl::StrAppendFormat(&text, "%-*s %12d  %-16s %12.0f %12s %10s\n", width, layer.name,
                          layer.elements, layer.codec, layer.bytes, Error(layer.error),
                          Relative(layer.relative_error));
    if (explain) absl::StrAppend(&text, "    ", layer.why, "\n");
  }
  absl::StrAppend(&text, Totals(config, report), plan.reason(), "\n");
  return text;
}

std::string PlanJson(const proto::Compression& config, const proto::WindowStatistics& window,
                     const proto::CompressionPolicy& plan, const PlanReport& report, bool explain) {
  using Json = nlohmann::ordered_json;
  Json json = Json::parse(PolicyJson(plan));
  json["policy"] = config.policy();
  json["window"] = window.window();
  json["last_step"] = window.last_step();
  json["world_size"] = window.world_size();
  json["raw_bytes"] = report.raw_bytes;
  json["plan_error"] = report.error;
  if (report.budget) json["error_budget"] = *report.budget;
  if (report.time) json["communication_seconds"] = report.time->communication_seconds;
  if (report.uniform_time) {
    json["predicted_uniform_exposed_seconds"] = report.uniform_time->exposed_seconds;
  }
  json["details"] = Json::array();
  for (const LayerReport& layer : report.layers) {
    Json& one = json["details"].emplace_back();
    one["name"] = layer.name;
    one["elements"] = layer.elements;
    one["codec"] = layer.codec;
    one["bytes"] = layer.bytes;
    one["error"] = layer.error;
    one["relative_error"] = layer.relative_error;
    if (explain) one["why"] = layer.why;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice
