#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/messages.h"
#include "caf/io/middleman_actor.hpp"
#include "security/secure_channel.h"

namespace sluice {

/// CAF's network over SecureChannel, both ways. CAF sees a connection once it has proved that it belongs to the
/// job; no byte of a stranger reaches CAF's parser. CAF's own TLS module is not used (docs/adr).
///
/// A message that claims to be longer than kMaxControlBytes ends its connection before a buffer is made for it.
///
/// Must go before the actor system. \threadsafety any thread, but for the constructor and destructor
class SecureMiddleman {
 public:
  SecureMiddleman(caf::actor_system& system, std::shared_ptr<const SecureContext> context);
  ~SecureMiddleman();

  /// \param port  0 = any free one
  /// \return the port. \error kUnavailable  CAF's reason
  absl::StatusOr<uint16_t> Publish(const CoordinatorHandle& coordinator, const std::string& host,
                                   uint16_t port);
  void Unpublish(const CoordinatorHandle& coordinator, uint16_t port);

  /// \error kUnavailable         nobody answers: trying again may help
  /// \error kUnauthenticated     one side could not prove that it belongs to the job
  /// \error kFailedPrecondition  another job or version
  absl::StatusOr<CoordinatorHandle> Connect(const std::string& host, uint16_t port,
                                            absl::Duration timeout);

 private:
  struct Shared;  // with the actor that connects

  caf::actor_system& system_;
  const std::shared_ptr<Shared> shared_;
  caf::io::middleman_actor actor_;
};

}  // namespace sluice
