#pragma once

#include <string>
#include <variant>
#include <vector>

#include "actors/coordinator_state.h"
#include "proto/job.pb.h"

namespace sluice {

/// The one place that names the fields of machine-readable output (docs/formats.md): one line of JSON each,
/// without the line end.

std::string StepJson(const ClusterStep& step, const proto::JobConfig& job, double raw_bytes);

/// Of a finished job, or of a failed one ("failed": true, "cause": ...).
std::string SummaryJson(const std::variant<JobResult, proto::Failure>& outcome,
                        const proto::JobConfig& job);

/// A generation starts, with these processes; or the last one ended, and why.
std::string GenerationJson(const proto::StartGeneration& start);
std::string RegroupJson(const std::string& reason, const std::vector<proto::ProcessInfo>& lost);

std::string PhaseJson(const PhaseOutcome& phase);
std::string EvaluationJson(const PhaseOutcome& phase);
std::string CheckpointJson(const CheckpointResult& result);
/// A rank that holds the others up: "event": "stall".
std::string FindingJson(const Finding& finding);

/// Per bucket and per link, of one rank.
std::string TimingsJson(const proto::StepReport& report);

std::string PolicyJson(const proto::CompressionPolicy& policy);

/// Of events.jsonl: a plan's numbers, without its layers.
std::string PlanEventJson(const proto::CompressionPolicy& policy);
std::string WindowJson(const proto::WindowStatistics& window);

}  // namespace sluice
