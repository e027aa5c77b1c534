#pragma once

// Everything that depends on CAF 0.17's message API: what is on the control plane, and how.

#include <string>

#include "caf/all.hpp"
#include "proto/control.pb.h"

namespace sluice {

/// A Protobuf message as a CAF message. One that does not parse arrives empty and is counted and dropped,
/// since its envelope names no job.
template <class P>
struct Pb {
  P message;
};

/// Largest control message that is parsed; tensors never travel here.
inline constexpr size_t kMaxControlBytes = 16 << 20;

template <class Inspector, class P>
typename Inspector::result_type inspect(Inspector& f, Pb<P>& x) {
  std::string bytes;
  if constexpr (Inspector::reads_state) {
    bytes = x.message.SerializeAsString();
    return f(caf::meta::type_name("pb"), bytes);
  } else {
    auto parse = [&]() -> caf::error {
      if (bytes.size() <= kMaxControlBytes && x.message.ParseFromString(bytes)) return caf::none;
      return caf::sec::invalid_argument;
    };
    return f(caf::meta::type_name("pb"), bytes, caf::meta::load_callback(parse));
  }
}

using TickAtom = caf::atom_constant<caf::atom("tick")>;
using CheckpointAtom = caf::atom_constant<caf::atom("ckpt")>;
using StopAtom = caf::atom_constant<caf::atom("stop")>;

/// What a worker or profiler understands: orders of the coordinator, and what its own process wants to
/// tell the coordinator (forwarded).
using MemberHandle = caf::typed_actor<
    caf::reacts_to<Pb<proto::JoinRefused>>, caf::reacts_to<Pb<proto::StartGeneration>>,
    caf::reacts_to<Pb<proto::ModelReady>>, caf::reacts_to<Pb<proto::Registration>>,
    caf::reacts_to<Pb<proto::EndGeneration>>, caf::reacts_to<Pb<proto::Hold>>,
    caf::reacts_to<Pb<proto::Boundary>>, caf::reacts_to<Pb<proto::CheckpointCommit>>,
    caf::reacts_to<Pb<proto::PhaseDecision>>, caf::reacts_to<Pb<proto::PhaseEvaluation>>,
    caf::reacts_to<Pb<proto::CheckpointPart>>, caf::reacts_to<Pb<proto::CheckpointDone>>,
    caf::reacts_to<Pb<proto::PolicyUpdate>>, caf::reacts_to<Pb<proto::Shutdown>>,
    caf::reacts_to<Pb<proto::Failure>>, caf::reacts_to<Pb<proto::Join>>,
    caf::reacts_to<Pb<proto::StepReport>>, caf::reacts_to<Pb<proto::Statistics>>,
    caf::reacts_to<Pb<proto::WorkerDone>>, caf::reacts_to<Pb<proto::Heartbeat>>,
    caf::reacts_to<Pb<proto::Leave>>>;

/// What the coordinator understands. CheckpointAtom carries the job's id. StopAtom carries the job's id, the reason, the exit code and whether it is to be orderly;
/// TickAtom says that time passes; more of them than needed do no harm.
using CoordinatorHandle = caf::typed_actor<
    caf::reacts_to<Pb<proto::Join>>, caf::reacts_to<Pb<proto::Registration>>,
    caf::reacts_to<Pb<proto::StepReport>>, caf::reacts_to<Pb<proto::Statistics>>,
    caf::reacts_to<Pb<proto::PhaseEvaluation>>, caf::reacts_to<Pb<proto::WorkerDone>>,
    caf::reacts_to<Pb<proto::Failure>>, caf::reacts_to<Pb<proto::Held>>,
    caf::reacts_to<Pb<proto::CheckpointPart>>, caf::reacts_to<Pb<proto::CheckpointDone>>,
    caf::reacts_to<Pb<proto::Heartbeat>>, caf::reacts_to<Pb<proto::Leave>>,
    caf::reacts_to<CheckpointAtom, std::string>,
    caf::reacts_to<StopAtom, std::string, std::string, int, bool>, caf::reacts_to<TickAtom>>;

/// Configuration of every actor system: message types, heartbeats, few threads.
class ActorConfig : public caf::actor_system_config {
 public:
  ActorConfig();
};

}  // namespace sluice
