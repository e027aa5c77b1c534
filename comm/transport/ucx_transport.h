#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/transport/transport.h"

namespace sluice {

/// A UCX context and worker without peers yet: has the address that the control plane hands to the
/// others. Created, connected and used on one thread (the comm thread).
///
/// Environment: UCX_TLS wins over `transports`. Sets the keep-alive interval and error handling
/// over shared memory before UCX reads its configuration, unless the user has, and takes the signal
/// handlers back that UCX installs when loaded (docs/transport.md). Fork before the first seed,
/// never after.
class UcxEndpointSeed {
 public:
  struct Options {
    /// As UCX_TLS; empty: posix,cma,tcp,self.
    std::string transports;
  };

  /// \error kUnavailable  UCX cannot start: its own reason, and the transports asked for
  static absl::StatusOr<std::unique_ptr<UcxEndpointSeed>> Create(const Options& options);
  virtual ~UcxEndpointSeed() = default;

  /// Opaque bytes, a few hundred.
  virtual const std::string& address() const = 0;

  /// Connects to all peers; consumes the seed's resources. Over tcp, only hosts of peers can connect from now on, and
  /// nobody once all have met (ListenerGuard).
  /// \param addresses  of all peers by rank; the one at `self` is ours and is not connected
  /// \param tag_key    32 secret bytes, the same for all peers and for them alone; empty: anybody who reaches a peer's
  ///                   listening socket may take part
  /// \error kUnavailable  naming the rank that cannot be reached
  virtual absl::StatusOr<std::unique_ptr<Transport>> Connect(
      Rank self, const std::vector<std::string>& addresses, const std::string& tag_key = "") && = 0;
};

/// The version of the UCX library in use, e.g. "1.13.1".
std::string UcxVersion();

}  // namespace sluice
