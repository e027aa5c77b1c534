#pragma once

#include <string>

namespace sluice {

/// Subcommand under which a program serves as a policy host.
inline constexpr char kPolicyHostCommand[] = "policy-host";
/// Descriptor of the host's end of its socket.
inline constexpr int kPolicyHostFd = 3;

/// The body of a policy host: loads the plugin, creates it, and asks it for plans until the coordinator closes
/// the socket. Ends with the coordinator, also when the plugin hangs. The plugin may crash it at any time.
/// \return the process's exit code
int RunPolicyHost(const std::string& plugin);

}  // namespace sluice
