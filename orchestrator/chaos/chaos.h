#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/transport/faulty_transport.h"
#include "proto/chaos.pb.h"

namespace sluice {

/// The rank that the `index`-th fault of the plan strikes: a function of plan and world size.
Rank RankOf(const proto::ChaosPlan& plan, int index, int world_size);

/// Executes the faults of a plan that strike one worker.
///
/// A fault strikes once, when its step begins; one that lasts for several steps is over when the step after them begins. A worker
/// that came later, or again, does not begin with the faults of steps before: who was killed once is
/// not killed by the same fault when it is back.
class Chaos : public LinkFaults {
 public:
  /// What a fault does to its own process. Tests put others in their place.
  struct Effects {
    std::function<void()> kill;
    std::function<void(absl::Duration)> stop;  ///< 0 = for ever
    std::function<void(absl::Duration)> sleep;
    std::function<absl::Time()> clock;
  };
  /// SIGKILL, and SIGSTOP with a child process that sends SIGCONT when the time is over.
  static Effects RealEffects();

  Chaos(const proto::ChaosPlan& plan, Rank self, int world_size, Effects effects);

  /// As `step` begins. May end or stop the process, or take its time. \threadsafety step loop
  void OnStep(Step step);
  /// A gradient is final. \threadsafety step loop
  void OnGradient(absl::string_view tensor, absl::Span<float> gradient);

  MessageFault OnSend(Rank to, size_t bytes) override;
  absl::Status OnReceive(Rank from) override;

 private:
  struct Fault {
    proto::ChaosFault what;
    std::optional<Step> begun;
    bool over = false;
  };

  bool Due(const Fault& fault, Step step) const;
  bool Active(const Fault& fault, absl::string_view kind) const;
  void Strike(const proto::ChaosFault& fault);
  absl::Status OnPartition(Rank peer) const;

  const Rank self_;
  const Effects effects_;
  std::optional<Step> first_step_;
  absl::Time first_time_;
  std::mutex mu_;              // step loop and comm thread
  std::vector<Fault> faults_;  // of this rank
};

}  // namespace sluice
