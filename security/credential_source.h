#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "security/credentials.h"

namespace sluice {

/// Where credentials are kept: a folder of the user's, with
///
///     ca.pem  cert.pem     PEM
///     key.pem              PEM, mode 600
///     token                64 hexadecimal digits, mode 600
///
/// or, between a launcher and what it starts, standard input.

/// Makes `directory` (mode 700) and writes the four files.
/// \error kFailedPrecondition  it is there
/// \error kPermissionDenied    the operating system's reason
absl::Status WriteCredentials(const std::string& directory, const Credentials& credentials);

/// Reads and checks them. \param where  a folder, or "-": standard input until its end, once per process
/// \error kUnauthenticated  key or token can be read by others, with the mode and what to do; CheckCredentials
/// \error kNotFound         a file is missing
/// \error kInvalidArgument  `where` is empty; a file is too long or is none; ParseCredentials
absl::StatusOr<Credentials> LoadCredentials(const std::string& where, absl::Time now);

}  // namespace sluice
