#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What a request does, for its error messages.
struct Operation {
  enum class Kind { kSend, kReceive };
  Kind kind = Kind::kSend;
  Rank peer;
  MessageTag tag = 0;
  size_t bytes = 0;
};

/// "send of 64 bytes to rank 3, tag 0x1200", "receive of 64 bytes from rank 3, tag 0x1200".
std::string ToString(const Operation& operation);

/// The ends that operations can meet, worded the same by every transport.
absl::Status PeerGone(const Operation& operation, absl::string_view why);
absl::Status WrongLength(const Operation& operation, size_t got);
absl::Status DeadlinePassed(const Operation& operation);
absl::Status Aborted(const Operation& operation, absl::string_view reason);

}  // namespace sluice
