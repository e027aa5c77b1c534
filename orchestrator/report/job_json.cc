#include "orchestrator/report/job_json.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "orchestrator/config/samples_per_step.h"
#include "policies/compression/codec_name.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN; null is how nlohmann writes it, and what readers expect.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ProcessJson(const proto::ProcessInfo& process) {
  return {{"role", process.role() == proto::ROLE_PROFILER ? "profiler" : "worker"},
          {"slot", process.slot()},
          {"host", process.host()},
          {"pid", process.pid()}};
}

// When people and the run's other files are to be compared: seconds since 1970.
double Now() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

Json OutcomeJson(const PhaseOutcome& phase) {
  Json json;
  json["phase"] = phase.name;
  json["first_step"] = phase.first_step;
  json["end_step"] = phase.end_step;
  json["test_accuracy"] = Accuracy(phase.evaluation);
  json["test_loss"] = MeanLoss(phase.evaluation);
  return json;
}

}  // namespace

std::string GenerationJson(const proto::StartGeneration& start) {
  Json json;
  json["event"] = "generation";
  json["generation"] = start.envelope().generation();
  json["time"] = Now();
  json["world_size"] = start.world_size();
  json["start_step"] = start.start_step();
  json["policy_version"] = start.policy().version();
  json["ranks_synced"] =
      Json(std::vector<int>(start.ranks_to_sync().begin(), start.ranks_to_sync().end()));
  json["processes"] = Json::array();  // by rank, profilers last
  for (const proto::ProcessInfo& process : start.processes()) {
    json["processes"].push_back(ProcessJson(process));
  }
  return Dump(json);
}

std::string RegroupJson(const std::string& reason, const std::vector<proto::ProcessInfo>& lost) {
  Json json;
  json["event"] = "regroup";
  json["time"] = Now();
  json["reason"] = reason;
  json["lost"] = Json::array();
  for (const proto::ProcessInfo& process : lost) json["lost"].push_back(ProcessJson(process));
  return Dump(json);
}

std::string CheckpointJson(const CheckpointResult& result) {
  Json json;
  json["event"] = "checkpoint";
  json["steps"] = result.step.value;
  json["path"] = result.path;
  json["error"] = result.error;
  json["bytes"] = result.bytes;
  json["seconds"] = result.seconds;
  return Dump(json);
}

std::string PhaseJson(const PhaseOutcome& phase) {
  Json json;
  json["event"] = "phase";
  json["phase"] = phase.name;
  json["first_step"] = phase.first_step;
  json["latest_end_step"] = phase.end_step;
  return Dump(json);
}

std::string EvaluationJson(const PhaseOutcome& phase) {
  Json json = OutcomeJson(phase);
  json["event"] = "evaluation";
  return Dump(json);
}

std::string StepJson(const ClusterStep& step, const proto::JobConfig& job, double raw_bytes) {
  Json json;
  json["event"] = "step";
  json["step"] = step.step.value;
  json["loss"] = step.loss;
  json["step_seconds"] = step.step_seconds;
  json["samples_per_second"] =
      step.step_seconds > 0 ? static_cast<double>(SamplesPerStep(job)) / step.step_seconds : 0;
  json["exposed_seconds"] = step.exposed_seconds;
  json["communication_seconds"] = step.communication_seconds;
  json["wire_bytes"] = step.sent_bytes;
  json["predicted_bytes"] = step.predicted_bytes;
  json["compression_ratio"] = step.sent_bytes > 0 ? raw_bytes / step.sent_bytes : 1;
  json["policy_version"] = step.policy_version;
  json["checksum_compared"] = step.checksum_compared;
  if (step.missing_ranks > 0) json["missing_ranks"] = step.missing_ranks;
  json["skipped"] = step.skipped;
  return Dump(json);
}

std::string SummaryJson(const std::variant<JobResult, proto::Failure>& outcome,
                        const proto::JobConfig& job) {
  Json json;
  json["event"] = "summary";
  json["job"] = job.name();
  json["policy"] = job.compression().policy();
  json["world_size"] = job.world().size();
  json["seed"] = job.training().seed();
  if (const auto* failure = std::get_if<proto::Failure>(&outcome)) {
    json["failed"] = true;
    json["cause"] = failure->cause();
    json["last_step"] = failure->step();
    json["exit_code"] = failure->exit_code();
    return Dump(json);
  }
  const JobResult& result = std::get<JobResult>(outcome);
  const LedgerTotals& totals = result.totals;
  json["failed"] = false;
  json["phases"] = Json::array();
  for (const PhaseOutcome& phase : result.phases) json["phases"].push_back(OutcomeJson(phase));
  json["test_accuracy"] = Accuracy(result.evaluation);
  if (HasTop5(result.evaluation)) json["test_top5_accuracy"] = Top5Accuracy(result.evaluation);
  json["test_loss"] = MeanLoss(result.evaluation);
  if (HasPerplexity(result.evaluation)) json["test_perplexity"] = Perplexity(result.evaluation);
  json["test_samples"] = result.evaluation.predictions();
  json["steps"] = totals.steps;
  json["train_loss"] = totals.last_loss;
  json["samples_per_second"] = totals.SamplesPerSecond(SamplesPerStep(job));
  json["step_seconds"] = totals.PerStep(totals.step_seconds);
  json["exposed_seconds_per_step"] = totals.PerStep(totals.exposed_seconds);
  json["communication_seconds_per_step"] = totals.PerStep(totals.communication_seconds);
  json["wire_bytes_per_step"] = totals.PerStep(totals.sent_bytes);
  json["predicted_bytes_per_step"] = totals.PerStep(totals.predicted_bytes);
  json["raw_bytes_per_step"] = result.raw_bytes_per_step;
  json["policy_changes"] = result.policy_changes;
  json["checksums_compared"] = totals.checksums_compared;
  json["skipped_steps"] = totals.skipped_steps;
  // A difference would have ended the job; none compared proves nothing.
  json["replicas_identical"] = totals.checksums_compared > 0;
  json["wall_seconds"] = absl::ToDoubleSeconds(result.wall);
  json["generations"] = result.generations;
  json["regroup_seconds"] = absl::ToDoubleSeconds(result.regrouping);
  json["checkpoint"] = result.checkpoint_path;
  json["stopped_by"] = result.stopped_by;
  json["stalls"] = result.stalls;
  json["stalled_seconds"] = absl::ToDoubleSeconds(result.stalled);
  json["ranks"] = Json::array();
  for (const RankLag& lag : result.lags) {
    const double steps = std::max<double>(1, static_cast<double>(lag.steps));
    Json& one = json["ranks"].emplace_back();
    one["rank"] = lag.rank;
    one["host"] = lag.process.host();
    one["lag_seconds_per_step"] = lag.lag_seconds / steps;
    one["last_in_steps_ratio"] = static_cast<double>(lag.last_in_steps) / steps;
  }
  return Dump(json);
}

std::string FindingJson(const Finding& finding) {
  Json json;
  json["event"] = "stall";
  json["id"] = finding.id;
  json["kind"] = KindName(finding.kind);
  json["state"] = StateName(finding.state);
  json["rank"] = finding.rank;
  json["host"] = finding.process.host();
  json["pid"] = finding.process.pid();
  json["step"] = finding.step;
  json["phase"] = PhaseName(finding.phase);
  json["bucket"] = finding.bucket;
  json["layers"] = finding.layers;
  json["waiting_ranks"] = finding.waiting_ranks;
  json["seconds"] = absl::ToDoubleSeconds(finding.lasted);
  json["lag_seconds"] = finding.lag_seconds;
  json["step_share"] = finding.share;
  json["shutdown"] = finding.shutdown;
  json["text"] = finding.text;
  return Dump(json);
}

std::string TimingsJson(const proto::StepReport& report) {
  Json json;
  json["event"] = "timings";
  json["rank"] = report.rank();
  if (report.steps_size() > 0) {
    json["first_step"] = report.steps(0).step();
    json["last_step"] = report.steps(report.steps_size() - 1).step();
  }
  json["buckets"] = Json::array();
  for (const proto::BucketTiming& bucket : report.buckets()) {
    Json& one = json["buckets"].emplace_back();
    one["ready_seconds"] = bucket.ready_seconds();
    one["started_seconds"] = bucket.started_seconds();
    one["received_seconds"] = bucket.received_seconds();
    one["reduced_seconds"] = bucket.reduced_seconds();
    one["encode_seconds"] = bucket.encode_seconds();
    one["decode_seconds"] = bucket.decode_seconds();
    one["exposed_seconds"] = bucket.exposed_seconds();
  }
  json["links"] = Json::array();
  for (const proto::LinkRecord& link : report.links()) {
    Json& one = json["links"].emplace_back();
    one["peer"] = link.peer();
    one["latency_seconds"] = link.latency_seconds();
    one["bytes_per_second"] = link.bytes_per_second();
    one["observations"] = link.observations();
  }
  return Dump(json);
}

std::string PolicyJson(const proto::CompressionPolicy& policy) {
  Json json;
  json["version"] = policy.version();
  json["effective_step"] = policy.effective_step();
  json["predicted_bytes"] = policy.predicted_bytes();
  json["uniform_bytes"] = policy.uniform_bytes();
  json["lower_bound_bytes"] = policy.lower_bound_bytes();
  json["error"] = policy.error();
  json["budget"] = policy.budget();
  if (policy.alpha() > 0) json["alpha"] = policy.alpha();
  json["solve_seconds"] = policy.solve_seconds();
  json["reason"] = policy.reason();
  if (policy.has_exposed_seconds()) {
    json["predicted_exposed_seconds"] = policy.exposed_seconds();
    json["predicted_raw_exposed_seconds"] = policy.raw_exposed_seconds();
  }
  Json layers = Json::object();
  for (const proto::LayerChoice& layer : policy.layers()) {
    layers[layer.name()] = CodecName(layer.codec());
  }
  json["layers"] = layers;
  return Dump(json);
}

std::string PlanEventJson(const proto::CompressionPolicy& policy) {
  Json json;
  json["event"] = "plan";
  json["version"] = policy.version();
  json["effective_step"] = policy.effective_step();
  if (policy.alpha() > 0) json["alpha"] = policy.alpha();
  json["predicted_bytes"] = policy.predicted_bytes();
  json["error"] = policy.error();
  json["budget"] = policy.budget();
  json["reason"] = policy.reason();
  return Dump(json);
}

std::string WindowJson(const proto::WindowStatistics& window) {
  Json json;
  json["window"] = window.window();
  json["last_step"] = window.last_step();
  json["profile_seconds"] = window.profile_seconds();
  json["fixed_wire_bytes"] = window.fixed_wire_bytes();
  json["world_size"] = window.world_size();
  if (window.alpha() > 0) json["alpha"] = window.alpha();
  if (window.has_times()) {
    const proto::TimeStatistics& times = window.times();
    json["times"] = {{"ready_seconds", Json(std::vector<double>(times.ready_seconds().begin(),
                                                                times.ready_seconds().end()))},
                     {"backward_seconds", times.backward_seconds()},
                     {"latency_seconds", times.latency_seconds()},
                     {"bytes_per_second", times.bytes_per_second()}};
  }
  json["layers"] = Json::array();
  for (const proto::LayerStatistics& layer : window.layers()) {
    Json entry;
    entry["name"] = layer.name();
    entry["elements"] = layer.elements();
    entry["eligible"] = layer.eligible();
    entry["squared_norm"] = layer.squared_norm();
    if (layer.has_lost_squared_error()) entry["lost_squared_error"] = layer.lost_squared_error();
    if (layer.error_ratio() > 0) entry["error_ratio"] = layer.error_ratio();
    entry["bucket"] = layer.bucket();
    entry["shape"] = Json(std::vector<int64_t>(layer.shape().begin(), layer.shape().end()));
    entry["options"] = Json::array();
    for (const proto::OptionStatistics& option : layer.options()) {
      entry["options"].push_back({{"codec", CodecName(option.codec())},
                                  {"squared_error", option.squared_error()},
                                  {"wire_bytes", option.wire_bytes()},
                                  {"codec_seconds", option.codec_seconds()}});
    }
    json["layers"].push_back(std::move(entry));
  }
  return Dump(json);
}

}  // namespace sluice
