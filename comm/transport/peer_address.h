#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

/// How a peer is reached, and from where it reaches others: what the control plane hands round.
///
///     IP addresses as text, a comma between two | newline | UCX's worker address
struct PeerAddress {
  std::vector<std::string> sources;  // ListenerGuard::Sources()
  std::string worker;                // opaque, of UCX
};

std::string FormatPeerAddress(const PeerAddress& address);

/// Takes any bytes. Without a newline all are UCX's, who refuses what it does not know.
PeerAddress ParsePeerAddress(absl::string_view bytes);

}  // namespace sluice
