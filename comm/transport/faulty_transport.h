#pragma once

#include <memory>

#include "comm/transport/transport.h"

namespace sluice {

/// A transport whose faults are scripted; everything else goes to `inner`. For tests.
class FaultyTransport : public Transport {
 public:
  explicit FaultyTransport(std::unique_ptr<Transport> inner);

  /// The n-th Send (from 1) ends with `status` and sends nothing.
  FaultyTransport& FailNthSend(int n, absl::Status status);
  /// The n-th Receive (from 1) ends with `status` and receives nothing.
  FaultyTransport& FailNthReceive(int n, absl::Status status);
  /// The n-th Send (from 1) delivers its bytes with the byte at `offset` inverted.
  FaultyTransport& CorruptNthSend(int n, size_t offset);
};

}  // namespace sluice
