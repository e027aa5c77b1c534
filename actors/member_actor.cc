#include "actors/member_actor.h"

#include "absl/strings/str_cat.h"
#include "base/exit_codes.h"

namespace sluice {
namespace {

using Self = MemberHandle::stateful_pointer<MemberActorState>;

template <class Message>
void Forward(Self self, const Pb<Message>& outgoing) {
  // What was made in an earlier generation says so, and is of no use in this one.
  const int64_t made_in = outgoing.message.envelope().generation();
  if (made_in != 0 && made_in != self->state.envelope.generation()) return;
  Pb<Message> stamped = outgoing;
  *stamped.message.mutable_envelope() = self->state.envelope;
  self->send(self->state.coordinator, std::move(stamped));
}

bool Stale(Self self, const proto::Envelope& envelope) {
  return envelope.job_id() != self->state.envelope.job_id() ||
         envelope.generation() != self->state.envelope.generation();
}

}  // namespace

MemberHandle::behavior_type MemberActor(Self self, CoordinatorHandle coordinator,
                                        proto::Envelope envelope, MemberEvents events) {
  self->state.coordinator = coordinator;
  self->state.envelope = std::move(envelope);
  self->monitor(coordinator);
  const auto end = [=](const std::string& cause, int exit_code) {
    if (self->state.ended) return;
    self->state.ended = true;
    events.on_end(cause, exit_code);
  };
  self->set_down_handler([=](const caf::down_msg&) {
    if (self->state.ended) return;
    const std::string cause =
        self->state.coordinator_name + " is gone: its connection broke (killed, crashed or frozen)";
    if (events.on_lost(cause)) {
      self->state.ended = true;
    } else {
      end(cause, kExitTraining);
    }
  });
  return {
      [=](const Pb<proto::JoinRefused>& m) { end(m.message.reason(), kExitConfig); },
      [=](const Pb<proto::StartGeneration>& m) {
        if (m.message.envelope().job_id() != self->state.envelope.job_id()) return;
        self->state.envelope = m.message.envelope();
        const proto::ProcessInfo& coordinator = m.message.coordinator();
        self->state.coordinator_name = absl::StrCat("coordinator (host ", coordinator.host(),
                                                    ", pid ", coordinator.pid(), ")");
        events.on_start(m.message);
      },
      [=](const Pb<proto::ModelReady>& m) {
        if (!Stale(self, m.message.envelope())) events.on_model(m.message);
      },
      [=](const Pb<proto::Registration>& m) { Forward(self, m); },
      [=](const Pb<proto::EndGeneration>& m) {
        if (!Stale(self, m.message.envelope())) events.on_generation_over(m.message);
      },
      [=](const Pb<proto::Hold>& m) {
        if (Stale(self, m.message.envelope())) return;
        Pb<proto::Held> held;
        *held.message.mutable_envelope() = self->state.envelope;
        held.message.set_serial(m.message.serial());
        held.message.set_begun_step(events.on_hold(m.message));
        self->send(self->state.coordinator, std::move(held));
      },
      [=](const Pb<proto::Boundary>& m) {
        if (!Stale(self, m.message.envelope())) events.on_boundary(m.message);
      },
      [=](const Pb<proto::PhaseDecision>& m) {
        if (!Stale(self, m.message.envelope())) events.on_phase(m.message);
      },
      [=](const Pb<proto::PhaseEvaluation>& m) { Forward(self, m); },
      [=](const Pb<proto::CheckpointCommit>& m) {
        if (!Stale(self, m.message.envelope())) events.on_commit(m.message);
      },
      [=](const Pb<proto::PolicyUpdate>& m) {
        if (!Stale(self, m.message.envelope())) events.on_policy(m.message);
      },
      [=](const Pb<proto::Shutdown>& m) {
        // Whatever the generation: a spare has none.
        if (m.message.envelope().job_id() != self->state.envelope.job_id()) return;
        end(m.message.reason(), 0);
      },
      [=](const Pb<proto::Failure>& m) {
        // From the coordinator: the job failed. From this process: tell the coordinator.
        if (self->current_sender() == self->state.coordinator) {
          end(m.message.cause(), m.message.exit_code());
        } else {
          Forward(self, m);
        }
      },
      [=](const Pb<proto::Join>& m) { Forward(self, m); },
      [=](const Pb<proto::StepReport>& m) { Forward(self, m); },
      [=](const Pb<proto::Statistics>& m) { Forward(self, m); },
      [=](const Pb<proto::WorkerDone>& m) { Forward(self, m); },
      [=](const Pb<proto::CheckpointPart>& m) { Forward(self, m); },
      [=](const Pb<proto::CheckpointDone>& m) { Forward(self, m); },
      [=](const Pb<proto::Heartbeat>& m) { Forward(self, m); },
      [=](const Pb<proto::Leave>& m) { Forward(self, m); },
  };
}

}  // namespace sluice
