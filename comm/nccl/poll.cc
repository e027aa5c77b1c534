#include "comm/nccl/poll.h"

#include <thread>

#include "base/status_macros.h"

namespace sluice {

absl::Status PollUntil(absl::FunctionRef<absl::StatusOr<bool>()> done, const Patience& patience) {
  for (;;) {
    SLUICE_ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(patience.interruption());
    if (PollClock::now() >= patience.deadline) {
      return absl::DeadlineExceededError("not complete in time");
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

absl::Status NoInterruption() { return absl::OkStatus(); }

}  // namespace sluice
