#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "comm/transport/request_table.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What happens to one message that is sent.
struct MessageFault {
  absl::Status failure;                ///< not OK: the send ends with it, and nothing is sent
  bool lost = false;                   ///< the send succeeds, and nothing is sent
  absl::Duration hold;                 ///< the sender is held up for so long first
  std::optional<size_t> corrupt_byte;  ///< is inverted; the last one of a shorter message
};

/// Who decides on the faults of a job that is tested. \threadsafety called on the comm thread
class LinkFaults {
 public:
  virtual ~LinkFaults() = default;
  virtual MessageFault OnSend(Rank to, size_t bytes) = 0;
  /// \return not OK: the receive ends with it, and nothing is received
  virtual absl::Status OnReceive(Rank from) = 0;
};

/// A transport with faults, scripted or decided message by message; everything else goes to `inner`.
///
///     FaultyTransport(std::move(inner)).FailNthSend(2, absl::UnavailableError("gone"))
///
/// Write the script before the first Send or Receive.
class FaultyTransport : public Transport {
 public:
  /// \param faults  asked about every message; may be null; must outlive this
  explicit FaultyTransport(std::unique_ptr<Transport> inner, LinkFaults* faults = nullptr);

  /// The n-th Send (from 1) ends with `status` and sends nothing.
  FaultyTransport& FailNthSend(int n, absl::Status status);
  /// The n-th Receive (from 1) ends with `status` and receives nothing.
  FaultyTransport& FailNthReceive(int n, absl::Status status);
  /// The n-th Send (from 1) delivers its bytes with the byte at `offset` inverted.
  /// \pre offset is below the length of that message
  FaultyTransport& CorruptNthSend(int n, size_t offset);

  Rank self() const override;
  int peers() const override;
  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override;
  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override;
  std::optional<absl::Status> Test(RequestId request) override;
  absl::Status Wait(RequestId request, absl::Time deadline) override;
  std::optional<size_t> WaitAny(absl::Span<const RequestId> requests, absl::Time deadline) override;
  void Wake() override;
  void Abort(absl::string_view reason) override;
  TransportCounters counters() const override;

 private:
  struct Request {
    RequestId inner = kNoRequest;      // kNoRequest: failed by the script
    absl::Status scripted;             // its outcome then
    std::vector<std::byte> corrupted;  // what `inner` sends instead
  };

  RequestId Fail(const absl::Status& status);

  const std::unique_ptr<Transport> inner_;
  LinkFaults* const faults_;
  std::map<int, absl::Status> failing_sends_;
  std::map<int, absl::Status> failing_receives_;
  std::map<int, size_t> corrupted_sends_;
  int sends_ = 0;
  int receives_ = 0;
  RequestTable<Request> requests_;
};

}  // namespace sluice
