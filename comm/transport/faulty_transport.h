#pragma once

#include <map>
#include <memory>
#include <vector>

#include "comm/transport/request_table.h"
#include "comm/transport/transport.h"

namespace sluice {

/// A transport whose faults are scripted; everything else goes to `inner`. For tests.
///
///     FaultyTransport(std::move(inner)).FailNthSend(2, absl::UnavailableError("gone"))
///
/// Write the script before the first Send or Receive.
class FaultyTransport : public Transport {
 public:
  explicit FaultyTransport(std::unique_ptr<Transport> inner);

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
  std::map<int, absl::Status> failing_sends_;
  std::map<int, absl::Status> failing_receives_;
  std::map<int, size_t> corrupted_sends_;
  int sends_ = 0;
  int receives_ = 0;
  RequestTable<Request> requests_;
};

}  // namespace sluice
