#include "comm/transport/peer_address.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace sluice {

std::string FormatPeerAddress(const PeerAddress& address) {
  return absl::StrCat(absl::StrJoin(address.sources, ","), "\n", address.worker);
}

PeerAddress ParsePeerAddress(absl::string_view bytes) {
  const size_t end = bytes.find('\n');
  if (end == absl::string_view::npos) return {{}, std::string(bytes)};
  return {absl::StrSplit(bytes.substr(0, end), ',', absl::SkipEmpty()),
          std::string(bytes.substr(end + 1))};
}

}  // namespace sluice
