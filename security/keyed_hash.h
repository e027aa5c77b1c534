#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

/// Bytes of a token, a derived key and a proof.
inline constexpr size_t kKeyBytes = 32;

/// HMAC-SHA256: kKeyBytes that only who knows `key` can tell for `text`.
std::string KeyedHash(absl::string_view key, absl::string_view text);

/// HKDF-SHA256: a key of kKeyBytes for one purpose, from which neither `secret` nor another key can be told.
std::string DeriveKey(absl::string_view secret, absl::string_view purpose);

/// Takes the same time wherever two texts of one length differ.
bool SameSecret(absl::string_view a, absl::string_view b);

/// From the operating system's generator.
std::string RandomBytes(size_t count);

/// Overwrites and empties.
void Wipe(std::string& secret);

}  // namespace sluice
