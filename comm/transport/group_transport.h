#pragma once

#include <vector>

#include "comm/transport/transport.h"

namespace sluice {

/// Some peers of a transport as a transport of their own: peer i here is peer `members[i]` there. Tags are those
/// of the other, so whoever uses both gives them different ones. \threadsafety as the other
class GroupTransport : public Transport {
 public:
  /// \param whole    must outlive this
  /// \param members  distinct peers of `whole`, itself among them
  GroupTransport(Transport& whole, std::vector<int> members);

  Rank self() const override { return self_; }
  int peers() const override { return static_cast<int>(members_.size()); }
  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override;
  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override;
  std::optional<absl::Status> Test(RequestId request) override;
  absl::Status Wait(RequestId request, absl::Time deadline) override;
  std::optional<size_t> WaitAny(absl::Span<const RequestId> requests, absl::Time deadline) override;
  void Wake() override;
  void Abort(absl::string_view reason) override;
  /// Of the whole.
  TransportCounters counters() const override;

 private:
  Rank Outside(Rank inside) const;

  Transport& whole_;
  const std::vector<int> members_;
  Rank self_;
};

}  // namespace sluice
