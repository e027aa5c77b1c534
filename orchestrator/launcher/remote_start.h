#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/launcher/child_process.h"
#include "proto/launch.pb.h"

namespace sluice {

/// The hidden subcommand that receives a RemoteStart.
inline constexpr char kRemoteExecCommand[] = "remote-exec";

/// A RemoteStart as its bytes travel: "SLRS", its length in 8 hexadecimal digits, the message.
/// \error kInvalidArgument  larger than kStdinBytes
absl::StatusOr<std::string> EncodeRemoteStart(const proto::RemoteStart& start);

/// The inverse, from the beginning of `bytes`.
/// \error kDataLoss  another beginning, a length that is no number or above kStdinBytes, fewer bytes, bytes that are no
///                   message, or a message without argv
absl::StatusOr<proto::RemoteStart> DecodeRemoteStart(absl::string_view bytes);

/// Reads one from `fd`, and not a byte more. \error as DecodeRemoteStart
absl::StatusOr<proto::RemoteStart> ReadRemoteStart(int fd);

/// Writes `path` with its folders, unless it is there with the same content. Several processes may do so at once.
/// \error kFailedPrecondition  it is there with another content
/// \error kResourceExhausted   it cannot be written: the system's reason
absl::Status EnsureFile(const std::string& path, const std::string& content);

/// `orchestrator remote-exec`: reads a RemoteStart from standard input, starts its process in a group of its own and
/// with our standard output and error, and waits. When our standard input ends (the launcher, or ssh, is gone) the process
/// gets the message's hangup_signal, and its group SIGKILL after kRemoteGraceSeconds. On SIGTERM, SIGINT or SIGHUP it gets
/// SIGTERM, and has the message's grace_seconds more. A kLeaveByte on our standard input sends the process kLeaveSignal.
/// `--launcher-pid` of ours is added to its arguments.
/// \return its exit code, 128 + signal if killed; 78 if it cannot be started
/// \pre called on the process's main thread, which must be the only one
int RunRemoteExec();

inline constexpr int kRemoteGraceSeconds = 5;

}  // namespace sluice
