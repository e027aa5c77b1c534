#pragma once

#include <string>

#include "actors/coordinator_state.h"
#include "orchestrator/config/job_loader.h"
#include "proto/control.pb.h"

namespace sluice {

inline constexpr char kJobId[] = "7f3a";
inline constexpr uint64_t kDigest = 0x1234;

/// A job with all defaults but for `world_size`.
inline proto::JobConfig DefaultJob(int world_size) {
  auto job = ParseJob("", JobFormat::kYaml, "defaults", {});
  job->mutable_world()->set_size(world_size);
  return *job;
}

/// A model of one large matrix and its bias.
inline proto::Join JoinOf(proto::Role role, int slot) {
  proto::Join join;
  join.mutable_envelope()->set_job_id(kJobId);
  join.set_protocol_version(kProtocolVersion);
  join.set_job_digest(kDigest);
  join.mutable_process()->set_role(role);
  join.mutable_process()->set_slot(slot);
  join.mutable_process()->set_host("node0" + std::to_string(slot));
  join.mutable_process()->set_pid(100 + slot);
  join.set_transport_address("address " + std::to_string(slot));
  if (role == proto::ROLE_WORKER) {
    proto::TensorSpec& matrix = *join.add_tensors();
    matrix.set_name("fc.weight");
    matrix.add_shape(64);
    matrix.add_shape(64);
    proto::TensorSpec& bias = *join.add_tensors();
    bias.set_name("fc.bias");
    bias.add_shape(64);
    join.add_phase_steps(3);
  }
  return join;
}

inline proto::Envelope EnvelopeOf(int64_t generation) {
  proto::Envelope envelope;
  envelope.set_job_id(kJobId);
  envelope.set_generation(generation);
  return envelope;
}

inline proto::StepReport ReportOf(int rank, int64_t step, double loss, uint32_t policy = 0) {
  proto::StepReport report;
  *report.mutable_envelope() = EnvelopeOf(1);
  report.set_rank(rank);
  proto::StepRecord& record = *report.add_steps();
  record.set_step(step);
  record.set_loss(loss);
  record.set_step_seconds(0.01 * (rank + 1));
  record.set_sent_bytes(1000);
  record.set_policy_version(policy);
  return report;
}

}  // namespace sluice
