#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "actors/coordinator_state.h"
#include "security/credentials.h"

namespace sluice {

/// The coordinator's actor system, without CAF in sight.
class CoordinatorServer {
 public:
  struct Options {
    CoordinatorState::Options state;
    /// Address to listen on; loopback for a job on one machine.
    std::string bind_host = "127.0.0.1";
    uint16_t port = 0;  ///< 0 = any free one
    /// Whoever connects must prove that it has them (security/secure_channel.h).
    Credentials credentials;
    StopReason stop_reason = [] { return std::nullopt; };
  };

  /// Listens at once. \param observer  must outlive the server
  /// \error kUnavailable      address, port and CAF's reason
  /// \error kUnauthenticated  TLS does not take the credentials
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(Options options,
                                                                  CoordinatorObserver* observer);
  virtual ~CoordinatorServer() = default;

  virtual uint16_t port() const = 0;

  /// Ends the job for everybody. \param orderly  with a checkpoint, if the job has grace for that
  /// \threadsafety any thread
  virtual void Stop(const std::string& why, int exit_code, bool orderly) = 0;

  /// Has a checkpoint written at the next step that all ranks can agree on. \threadsafety any thread
  virtual void RequestCheckpoint() = 0;

  /// Waits for the job's end. Time passes for the job (start timeout, graces) while somebody waits here.
  /// \return the exit code that the process should end with
  virtual int WaitEnd() = 0;
};

}  // namespace sluice
