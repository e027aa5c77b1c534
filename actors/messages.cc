#include "actors/messages.h"

#include <chrono>
#include <random>

#include "caf/io/all.hpp"

namespace sluice {

ActorConfig::ActorConfig() {
  add_message_type<Pb<proto::Join>>("sluice/Join");
  add_message_type<Pb<proto::JoinRefused>>("sluice/JoinRefused");
  add_message_type<Pb<proto::StartGeneration>>("sluice/StartGeneration");
  add_message_type<Pb<proto::Registration>>("sluice/Registration");
  add_message_type<Pb<proto::ModelReady>>("sluice/ModelReady");
  add_message_type<Pb<proto::EndGeneration>>("sluice/EndGeneration");
  add_message_type<Pb<proto::Hold>>("sluice/Hold");
  add_message_type<Pb<proto::Held>>("sluice/Held");
  add_message_type<Pb<proto::Boundary>>("sluice/Boundary");
  add_message_type<Pb<proto::CheckpointPart>>("sluice/CheckpointPart");
  add_message_type<Pb<proto::CheckpointCommit>>("sluice/CheckpointCommit");
  add_message_type<Pb<proto::CheckpointDone>>("sluice/CheckpointDone");
  add_message_type<Pb<proto::StepReport>>("sluice/StepReport");
  add_message_type<Pb<proto::Statistics>>("sluice/Statistics");
  add_message_type<Pb<proto::PolicyUpdate>>("sluice/PolicyUpdate");
  add_message_type<Pb<proto::WorkerDone>>("sluice/WorkerDone");
  add_message_type<Pb<proto::PhaseEvaluation>>("sluice/PhaseEvaluation");
  add_message_type<Pb<proto::PhaseDecision>>("sluice/PhaseDecision");
  add_message_type<Pb<proto::Failure>>("sluice/Failure");
  add_message_type<Pb<proto::Shutdown>>("sluice/Shutdown");
  add_message_type<Pb<proto::Heartbeat>>("sluice/Heartbeat");
  add_message_type<Pb<proto::Leave>>("sluice/Leave");
  load<caf::io::middleman>();
  // A frozen peer is never noticed without heartbeats. A killed one is, at once. Workers of elastic jobs are dropped
  // earlier, by their own heartbeats (world.dead_after_seconds, at most this).
  set("middleman.heartbeat-interval", caf::timespan(std::chrono::seconds(1)));
  set("middleman.connection-timeout", caf::timespan(std::chrono::seconds(8)));
  set("middleman.app-identifiers", std::vector<std::string>{"sluice/1"});
  // Idle threads that steal work cost a worker's core; sharing does not.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", size_t{2});
}

}  // namespace sluice

namespace caf::detail {

// CAF 0.17 derives a node's identity from the host and the process id: two containers with equal ids would
// be taken for one node. This definition replaces the library's at link time.
std::string get_root_uuid() {
  static const std::string uuid = [] {
    std::string text;
    std::random_device device;
    for (int i = 0; i < 4; ++i) text += std::to_string(device());
    return text;
  }();
  return uuid;
}

}  // namespace caf::detail
