#include "actors/coordinator_actor.h"

#include <utility>

#include "base/exit_codes.h"
#include "base/log.h"

namespace sluice {
namespace {

using Self = CoordinatorHandle::stateful_pointer<CoordinatorActorState>;

CoordinatorState::MemberId MemberOf(Self self) {
  const caf::actor_addr sender = caf::actor_cast<caf::actor_addr>(self->current_sender());
  auto [found, fresh] = self->state.ids.try_emplace(sender, self->state.next_id);
  if (fresh) {
    ++self->state.next_id;
    self->state.handles[found->second] = caf::actor_cast<MemberHandle>(self->current_sender());
    self->monitor(self->state.handles[found->second]);
  }
  return found->second;
}

void SendAll(Self self, const std::vector<CoordinatorState::Outgoing>& messages) {
  for (const CoordinatorState::Outgoing& outgoing : messages) {
    auto handle = self->state.handles.find(outgoing.to);
    if (handle == self->state.handles.end()) continue;  // lost in the meantime
    std::visit(
        [&](const auto& message) {
          self->send(handle->second, Pb<std::decay_t<decltype(message)>>{message});
        },
        outgoing.message);
  }
}

void Forget(Self self, const caf::down_msg& down) {
  auto id = self->state.ids.find(down.source);
  if (id == self->state.ids.end()) return;
  if (const std::optional<std::string> reason = self->state.stop_reason()) {
    SendAll(self, self->state.coordinator->OnStopRequest(*reason, kExitTerminated, false));
  }
  SendAll(self, self->state.coordinator->OnLost(
                    id->second, down.reason == caf::exit_reason::remote_link_unreachable
                                    ? "its connection broke (killed, crashed or frozen)"
                                    : self->system().render(down.reason)));
  self->state.handles.erase(id->second);
  self->state.ids.erase(id);
}

}  // namespace

CoordinatorHandle::behavior_type CoordinatorActor(
    Self self, std::shared_ptr<std::unique_ptr<CoordinatorState>> coordinator,
    StopReason stop_reason, std::function<void(int)> on_ended) {
  self->state.coordinator = std::move(*coordinator);
  self->state.on_ended = std::move(on_ended);
  self->state.stop_reason = std::move(stop_reason);
  self->set_down_handler([=](const caf::down_msg& down) { Forget(self, down); });
  self->set_default_handler([](caf::scheduled_actor*,
                               caf::message_view& view) -> caf::result<caf::message> {
    SLUICE_LOG(Warning,
               "dropped a message that is not ours: ", to_string(view.move_content_to_message()));
    return caf::sec::unexpected_message;
  });
  return {
      [=](const Pb<proto::Join>& m) {
        SendAll(self, self->state.coordinator->OnJoin(MemberOf(self), m.message));
      },
      [=](const Pb<proto::Registration>& m) {
        SendAll(self, self->state.coordinator->OnModel(MemberOf(self), m.message));
      },
      [=](const Pb<proto::StepReport>& m) {
        SendAll(self, self->state.coordinator->OnStepReport(MemberOf(self), m.message));
      },
      [=](const Pb<proto::Statistics>& m) {
        SendAll(self, self->state.coordinator->OnStatistics(MemberOf(self), m.message));
      },
      [=](const Pb<proto::PhaseEvaluation>& m) {
        SendAll(self, self->state.coordinator->OnPhaseEvaluation(MemberOf(self), m.message));
      },
      [=](const Pb<proto::WorkerDone>& m) {
        SendAll(self, self->state.coordinator->OnWorkerDone(MemberOf(self), m.message));
      },
      [=](const Pb<proto::Failure>& m) {
        SendAll(self, self->state.coordinator->OnFailureReport(MemberOf(self), m.message));
      },
      [=](const Pb<proto::Heartbeat>& m) {
        SendAll(self, self->state.coordinator->OnHeartbeat(MemberOf(self), m.message));
      },
      [=](const Pb<proto::Leave>& m) {
        SendAll(self, self->state.coordinator->OnLeave(MemberOf(self), m.message));
      },
      [=](const Pb<proto::Held>& m) {
        SendAll(self, self->state.coordinator->OnHeld(MemberOf(self), m.message));
      },
      [=](const Pb<proto::CheckpointPart>& m) {
        SendAll(self, self->state.coordinator->OnCheckpointPart(MemberOf(self), m.message));
      },
      [=](const Pb<proto::CheckpointDone>& m) {
        SendAll(self, self->state.coordinator->OnCheckpointDone(MemberOf(self), m.message));
      },
      [=](CheckpointAtom, const std::string& job_id) {
        if (job_id != self->state.coordinator->job_id()) return;
        SendAll(self, self->state.coordinator->OnCheckpointRequest());
      },
      [=](StopAtom, const std::string& job_id, const std::string& why, int exit_code,
          bool orderly) {
        if (job_id != self->state.coordinator->job_id()) return;
        SendAll(self, self->state.coordinator->OnStopRequest(why, exit_code, orderly));
      },
      [=](TickAtom) {
        CoordinatorState& state = *self->state.coordinator;
        SendAll(self, state.OnTick());
        if (state.phase() == CoordinatorState::Phase::kEnded && !self->state.told_ended &&
            state.MayLeave()) {
          self->state.told_ended = true;
          if (state.dropped() > 0) {
            SLUICE_LOG(Warning, state.dropped(),
                       " messages of other jobs or generations, or after the end, were dropped");
          }
          self->state.on_ended(state.exit_code());
        }
      },
  };
}

}  // namespace sluice
