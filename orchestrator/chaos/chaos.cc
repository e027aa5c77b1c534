#include "orchestrator/chaos/chaos.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/random.h"

namespace sluice {
namespace {

// A message is not held for longer, or the worker would not hear of the job's end.
constexpr absl::Duration kLongestHold = absl::Seconds(2);

void StopSelf(absl::Duration duration) {
  const pid_t self = getpid();
  const timespec pause = absl::ToTimespec(duration);
  pid_t waker = -1;
  if (duration > absl::ZeroDuration()) waker = fork();
  if (waker == 0) {  // nothing but system calls: the other threads are not here
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int fd = 0; fd < 1024; ++fd) close(fd);
    nanosleep(&pause, nullptr);
    kill(self, SIGCONT);
    _exit(0);
  }
  kill(self, SIGSTOP);
  if (waker > 0) waitpid(waker, nullptr, 0);
}

}  // namespace

Rank RankOf(const proto::ChaosPlan& plan, int index, int world_size) {
  int rank = 0;
  if (absl::SimpleAtoi(plan.faults(index).rank(), &rank)) return Rank(rank);
  return Rank(static_cast<int64_t>(
      RandomKey(plan.seed())
          .Below(static_cast<uint64_t>(index), static_cast<uint64_t>(world_size))));
}

Chaos::Effects Chaos::RealEffects() {
  return {[] { kill(getpid(), SIGKILL); }, StopSelf, absl::SleepFor, absl::Now};
}

Chaos::Chaos(const proto::ChaosPlan& plan, Rank self, int world_size, Effects effects)
    : self_(self), effects_(std::move(effects)) {
  for (int i = 0; i < plan.faults_size(); ++i) {
    if (plan.faults(i).fault() == "coordinator_kill") continue;
    if (RankOf(plan, i, world_size) == self) faults_.push_back({plan.faults(i), {}, false});
  }
}

bool Chaos::Due(const Fault& fault, Step step) const {
  const bool from_start = *first_step_ == Step(0);
  if (fault.what.at_step() < 0) {
    return from_start &&
           effects_.clock() - first_time_ >= absl::Seconds(fault.what.after_seconds());
  }
  const int64_t begins = first_step_->value - (fault.what.again() == "on" ? 1 : 0);
  return step.value >= fault.what.at_step() && (from_start || begins < fault.what.at_step());
}

void Chaos::OnStep(Step step) {
  if (!first_step_) {
    first_step_ = step;
    first_time_ = effects_.clock();
  }
  std::vector<proto::ChaosFault> striking;
  {
    const std::lock_guard<std::mutex> lock(mu_);
    for (Fault& fault : faults_) {
      if (fault.over) continue;
      if (!fault.begun && Due(fault, step)) {
        fault.begun = step;
        SLUICE_LOG(Warning, "chaos: ", fault.what.fault(), " at ", ToString(step));
      }
      if (!fault.begun) continue;
      fault.over = step.value >= fault.begun->value + fault.what.for_steps();
      if (!fault.over) striking.push_back(fault.what);
      if (fault.what.fault() == "kill" || fault.what.fault() == "stop") fault.over = true;
    }
  }
  for (const proto::ChaosFault& fault : striking) Strike(fault);
}

// Of those that strike the process, not its gradients or messages.
void Chaos::Strike(const proto::ChaosFault& fault) {
  if (fault.fault() == "kill") effects_.kill();
  if (fault.fault() == "stop") effects_.stop(absl::Seconds(fault.for_seconds()));
  if (fault.fault() == "delay") effects_.sleep(absl::Milliseconds(fault.milliseconds()));
}

bool Chaos::Active(const Fault& fault, absl::string_view kind) const {
  return fault.begun.has_value() && !fault.over && fault.what.fault() == kind;
}

void Chaos::OnGradient(absl::string_view tensor, absl::Span<float> gradient) {
  const std::lock_guard<std::mutex> lock(mu_);
  for (Fault& fault : faults_) {
    if (!Active(fault, "nan")) continue;
    // Without a name: the first of the step, which is the first in backward order.
    if (fault.what.layer().empty()) fault.what.set_layer(std::string(tensor));
    if (fault.what.layer() == tensor) gradient.front() = std::numeric_limits<float>::quiet_NaN();
  }
}

MessageFault Chaos::OnSend(Rank to, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mu_);
  MessageFault message;
  for (Fault& fault : faults_) {
    if (fault.what.to() >= 0 && fault.what.to() != to.value) continue;
    if (Active(fault, "drop")) message.lost = true;
    if (Active(fault, "partition")) message.failure = OnPartition(to);
    if (Active(fault, "slow_link")) {
      message.hold = std::min(
          kLongestHold,
          absl::Seconds(static_cast<double>(bytes) / (1e6 * fault.what.megabytes_per_second())));
    }
    if (Active(fault, "corrupt")) {
      message.corrupt_byte = static_cast<size_t>(fault.what.offset());
      fault.over = true;  // one message
    }
  }
  return message;
}

absl::Status Chaos::OnReceive(Rank from) {
  const std::lock_guard<std::mutex> lock(mu_);
  for (const Fault& fault : faults_) {
    if (fault.what.to() >= 0 && fault.what.to() != from.value) continue;
    if (Active(fault, "partition")) return OnPartition(from);
  }
  return absl::OkStatus();
}

absl::Status Chaos::OnPartition(Rank peer) const {
  return absl::UnavailableError(
      absl::StrCat("chaos: ", ToString(self_), " is cut off from ", ToString(peer)));
}

}  // namespace sluice
