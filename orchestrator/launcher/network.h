#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

/// Addresses of this machine.

/// One address of one interface that is up.
struct InterfaceAddress {
  std::string interface;
  std::string address;
  bool loopback = false;
};

/// IPv4 first, else in the system's order; without link-local ones.
std::vector<InterfaceAddress> InterfaceAddresses();

/// Whether `host` is this machine: localhost, a loopback address, its own name or one of its addresses.
bool IsThisHost(const std::string& host);

/// \error kInvalidArgument  no such interface, or it has no address: what there is
absl::StatusOr<std::string> AddressOf(const std::string& interface);

/// The address of this machine from which traffic to `host` leaves; where `host` has no address in the name service (nodes
/// that only a scheduler knows), the first that is not loopback, else 127.0.0.1.
std::string AddressTowards(const std::string& host);

/// The addresses that the name service has for `host`, empty if none.
std::vector<std::string> Resolve(const std::string& host);

/// Who listens on a TCP port of this machine: `pid 4121 (python3)`. Empty if nobody does, or it is another user's, which only
/// root may see.
std::string OwnerOfPort(int port);

}  // namespace sluice
