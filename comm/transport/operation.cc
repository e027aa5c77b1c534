#include "comm/transport/operation.h"

#include "absl/strings/str_cat.h"

namespace sluice {

std::string ToString(const Operation& operation) {
  const bool send = operation.kind == Operation::Kind::kSend;
  return absl::StrCat(send ? "send of " : "receive of ", operation.bytes, " bytes ",
                      send ? "to " : "from ", ToString(operation.peer), ", tag 0x",
                      absl::Hex(operation.tag));
}

absl::Status PeerGone(const Operation& operation, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat(ToString(operation), ": the peer is gone: ", why));
}

absl::Status WrongLength(const Operation& operation, size_t got) {
  return absl::DataLossError(absl::StrCat(ToString(operation), ": the message has ", got,
                                          " bytes; the ranks disagree on what is sent"));
}

absl::Status DeadlinePassed(const Operation& operation) {
  return absl::DeadlineExceededError(
      absl::StrCat("SL2202 ", ToString(operation), ": not over at the deadline, cancelled"));
}

absl::Status Aborted(const Operation& operation, absl::string_view reason) {
  return absl::CancelledError(absl::StrCat(ToString(operation), ": aborted: ", reason));
}

}  // namespace sluice
