#pragma once

namespace sluice {

/// Between `orchestrator worker` and the program that it starts: a socket, whose descriptor this variable names. The
/// program reads a proto::SessionStart until the end, and writes the marks below.
inline constexpr char kSessionFdVariable[] = "SLUICE_SESSION_FD";
inline constexpr char kSessionJoined[] = "J";  ///< it has a line to the coordinator
inline constexpr char kSessionLeft[] = "L";    ///< it has left the job, well or badly

}  // namespace sluice
