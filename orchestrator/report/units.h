#pragma once

#include <string>

#include "absl/strings/str_format.h"

namespace sluice {

/// "7.23 MB": a number of bytes for people.
inline std::string BytesText(double bytes) {
  if (bytes >= 1e9) return absl::StrFormat("%.2f GB", bytes / 1e9);
  if (bytes >= 1e6) return absl::StrFormat("%.2f MB", bytes / 1e6);
  if (bytes >= 1e3) return absl::StrFormat("%.1f kB", bytes / 1e3);
  return absl::StrFormat("%.0f B", bytes);
}

}  // namespace sluice
