#pragma once

#include <string>

#include "policies/offline/plan_report.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// What `orchestrator plan` prints (docs/planner.md, "Offline").

/// A table of layers, totals below it. \param explain  with a line below each layer that says why
std::string PlanText(const proto::Compression& config, const proto::WindowStatistics& window,
                     const proto::CompressionPolicy& plan, const PlanReport& report, bool explain);

/// One line, without its end: a line of policies.jsonl with more fields (docs/formats.md).
std::string PlanJson(const proto::Compression& config, const proto::WindowStatistics& window,
                     const proto::CompressionPolicy& plan, const PlanReport& report, bool explain);

}  // namespace sluice
