#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "policies/plugin/host_channel.h"
#include "policies/plugin/policy_host.pb.h"

namespace sluice {

/// A running policy host. Whatever the plugin in it does, this process goes on: a host that crashes, hangs or
/// talks nonsense gives an error and is over; only a new one can be asked again.
/// \threadsafety one thread at a time. The host ends when the thread that started it does
class HostProcess {
 public:
  /// \param host  program and arguments that run RunPolicyHost; the plugin's path is added
  /// \error kUnavailable  the system gives no process or socket
  static absl::StatusOr<HostProcess> Start(const std::vector<std::string>& host,
                                           const std::string& plugin);
  HostProcess(HostProcess&& other);
  HostProcess& operator=(HostProcess&& other);
  /// Lets the plugin destroy itself for a second, then kills.
  ~HostProcess();

  /// Sends a request and returns the reply to it.
  /// \param during  what the host does with it, for messages: "in plan()"
  /// \error kUnavailable  "crashed in plan(): ...", "did not answer within ...", "sent something else than an
  ///                      answer", or, with the host still alive, what its reply says is wrong
  absl::StatusOr<proto::PolicyHostReply> Ask(const proto::PolicyHostRequest& request,
                                             absl::Duration timeout, absl::string_view during);
  /// The reply that a host sends unasked, when it has loaded the plugin. \error as Ask
  absl::StatusOr<proto::PolicyHostReply> AwaitLoaded(absl::Duration timeout);

  /// False after a crash, a timeout or nonsense.
  bool alive() const { return pid_ > 0; }

 private:
  HostProcess(pid_t pid, HostChannel channel) : pid_(pid), channel_(std::move(channel)) {}
  absl::StatusOr<proto::PolicyHostReply> Conclude(const absl::Status& status,
                                                  proto::PolicyHostReply reply,
                                                  absl::Duration timeout, absl::string_view during);
  /// \return waitpid's status
  int Kill();

  pid_t pid_;
  HostChannel channel_;
};

}  // namespace sluice
