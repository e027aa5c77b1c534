#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace sluice {

/// What makes a process a member of a job. All members have the same: a certificate says that a process belongs
/// to the job, on whatever host; the token says it once more, over a channel that the certificate has secured.
/// Overwrites its secrets when it goes.
struct Credentials {
  std::string authority;    ///< PEM: the certificate that signed the other; its key is thrown away
  std::string certificate;  ///< PEM
  std::string private_key;  ///< PEM, of `certificate`
  std::string token;        ///< kKeyBytes random bytes

  Credentials() = default;
  Credentials(const Credentials&) = default;
  Credentials(Credentials&&) = default;
  Credentials& operator=(const Credentials&) = delete;
  Credentials& operator=(Credentials&&) = default;
  ~Credentials();
};

/// Largest serialised credentials; fits into a pipe that nobody reads yet.
inline constexpr size_t kMaxCredentialBytes = 32 << 10;
/// Largest of the three PEM texts.
inline constexpr size_t kMaxPemBytes = 8 << 10;

/// How long those are valid that the launcher makes for one job, and those of a folder.
inline constexpr absl::Duration kJobValidity = absl::Hours(24 * 30);
inline constexpr absl::Duration kFolderValidity = absl::Hours(24 * 365);

/// New ones on NIST P-256, valid from an hour before `now`, since clocks differ.
Credentials MakeCredentials(absl::Time now, absl::Duration validity);

/// Whether these can be used at `now`, without a peer having to refuse them.
/// \error kUnauthenticated  expired or not valid yet, with the date; parts that do not fit together
absl::Status CheckCredentials(const Credentials& credentials, absl::Time now);

/// A Protobuf message (proto/credentials.proto).
std::string Serialize(const Credentials& credentials);

/// \error kInvalidArgument  longer than kMaxCredentialBytes, damaged, or a part is missing or too long; any bytes
///                          are allowed
absl::StatusOr<Credentials> ParseCredentials(absl::string_view bytes);

}  // namespace sluice
