#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "actors/coordinator_state.h"
#include "actors/messages.h"

namespace sluice {

/// What the coordinator's actor holds between messages.
struct CoordinatorActorState {
  std::unique_ptr<CoordinatorState> coordinator;
  std::map<caf::actor_addr, CoordinatorState::MemberId> ids;
  std::map<CoordinatorState::MemberId, MemberHandle> handles;
  CoordinatorState::MemberId next_id = 0;
  std::function<void(int)> on_ended;
  StopReason stop_reason;
  bool told_ended = false;
};

/// Thin shell: hands each message to CoordinatorState and sends what that decided.
/// \param on_ended  called once, on the actor's thread, with the exit code, when the job has ended and
///                  every member has left or kLeaveGrace has passed
CoordinatorHandle::behavior_type CoordinatorActor(
    CoordinatorHandle::stateful_pointer<CoordinatorActorState> self,
    std::shared_ptr<std::unique_ptr<CoordinatorState>> coordinator, StopReason stop_reason,
    std::function<void(int)> on_ended);

}  // namespace sluice
