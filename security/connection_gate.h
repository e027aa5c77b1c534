#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "security/refusal_log.h"
#include "security/secure_channel.h"

namespace sluice {

/// Where accepted connections wait until they have proved that they belong to the job: on a thread of their own, so
/// that neither a silent nor a noisy stranger holds up anybody else.
///
///     Take(fd) --> waiting --(1)--> on_open
///                     \------(2)--> closed, and logged (RefusalLog)
///
///   1  SecureChannel is open
///   2  it failed, took longer than `handshake`, or was the oldest when more than `most_waiting` waited
class ConnectionGate {
 public:
  struct Options {
    absl::Duration handshake = absl::Seconds(5);
    size_t most_waiting = 256;
  };
  /// Takes the socket over. Called on the gate's thread.
  using OnOpen = std::function<void(int fd, std::unique_ptr<SecureChannel> channel)>;

  ConnectionGate(std::shared_ptr<const SecureContext> context, Options options, OnOpen on_open);
  ~ConnectionGate();  // closes what still waits

  /// \param fd  an accepted socket, which becomes the gate's. \threadsafety any thread
  void Take(int fd);

 private:
  struct Waiting {
    int fd = -1;
    std::unique_ptr<SecureChannel> channel;
    absl::Time deadline;
    short events = 0;
  };

  void Run();
  void Admit();
  bool Advance(Waiting& waiting);  // false: it is not waiting any more
  void Refuse(Waiting& refused, const std::string& why);
  void Ring();

  const std::shared_ptr<const SecureContext> context_;
  const Options options_;
  const OnOpen on_open_;
  const int bell_;  // eventfd
  std::atomic<bool> stopping_{false};
  absl::Mutex mu_;
  std::vector<int> taken_ ABSL_GUARDED_BY(mu_);
  // The gate's thread alone:
  std::list<Waiting> waiting_;  // oldest first
  RefusalLog log_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sluice
