#include "comm/transport/group_transport.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {

GroupTransport::GroupTransport(Transport& whole, std::vector<int> members)
    : whole_(whole), members_(std::move(members)) {
  const auto self =
      std::find(members_.begin(), members_.end(), static_cast<int>(whole.self().value));
  SLUICE_CHECK(self != members_.end(), "a peer sees only groups that it is in");
  self_ = Rank(self - members_.begin());
}

Rank GroupTransport::Outside(Rank inside) const {
  SLUICE_CHECK(inside.value >= 0 && inside.value < peers(), "a peer of the group");
  return Rank(members_[static_cast<size_t>(inside.value)]);
}

RequestId GroupTransport::Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) {
  return whole_.Send(Outside(to), tag, bytes);
}

RequestId GroupTransport::Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) {
  return whole_.Receive(Outside(from), tag, bytes);
}

std::optional<absl::Status> GroupTransport::Test(RequestId request) { return whole_.Test(request); }

absl::Status GroupTransport::Wait(RequestId request, absl::Time deadline) {
  return whole_.Wait(request, deadline);
}

std::optional<size_t> GroupTransport::WaitAny(absl::Span<const RequestId> requests,
                                              absl::Time deadline) {
  return whole_.WaitAny(requests, deadline);
}

void GroupTransport::Wake() { whole_.Wake(); }

void GroupTransport::Abort(absl::string_view reason) { whole_.Abort(reason); }

TransportCounters GroupTransport::counters() const { return whole_.counters(); }

}  // namespace sluice
