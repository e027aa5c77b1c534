#include "comm/transport/faulty_transport.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"

namespace sluice {

FaultyTransport::FaultyTransport(std::unique_ptr<Transport> inner, LinkFaults* faults)
    : inner_(std::move(inner)), faults_(faults) {}

FaultyTransport& FaultyTransport::FailNthSend(int n, absl::Status status) {
  failing_sends_[n] = std::move(status);
  return *this;
}

FaultyTransport& FaultyTransport::FailNthReceive(int n, absl::Status status) {
  failing_receives_[n] = std::move(status);
  return *this;
}

FaultyTransport& FaultyTransport::CorruptNthSend(int n, size_t offset) {
  corrupted_sends_[n] = offset;
  return *this;
}

Rank FaultyTransport::self() const { return inner_->self(); }
int FaultyTransport::peers() const { return inner_->peers(); }
TransportCounters FaultyTransport::counters() const { return inner_->counters(); }
void FaultyTransport::Wake() { inner_->Wake(); }
void FaultyTransport::Abort(absl::string_view reason) { inner_->Abort(reason); }

RequestId FaultyTransport::Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) {
  ++sends_;
  if (const auto found = failing_sends_.find(sends_); found != failing_sends_.end()) {
    return Fail(found->second);
  }
  MessageFault fault;
  if (faults_ != nullptr) fault = faults_->OnSend(to, bytes.size());
  absl::SleepFor(fault.hold);
  if (fault.lost || !fault.failure.ok()) return Fail(fault.failure);
  const RequestId id = requests_.Add();
  Request& request = requests_.at(id);
  if (const auto found = corrupted_sends_.find(sends_); found != corrupted_sends_.end()) {
    SLUICE_CHECK(found->second < bytes.size(), "the script corrupts a byte behind the message");
    request.corrupted.assign(bytes.begin(), bytes.end());
    request.corrupted[found->second] ^= std::byte{0xff};
    bytes = request.corrupted;
  }
  if (fault.corrupt_byte && !bytes.empty()) {
    request.corrupted.assign(bytes.begin(), bytes.end());
    request.corrupted[std::min(*fault.corrupt_byte, bytes.size() - 1)] ^= std::byte{0xff};
    bytes = request.corrupted;
  }
  request.inner = inner_->Send(to, tag, bytes);
  return id;
}

RequestId FaultyTransport::Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) {
  ++receives_;
  if (const auto found = failing_receives_.find(receives_); found != failing_receives_.end()) {
    return Fail(found->second);
  }
  if (faults_ != nullptr) {
    if (absl::Status failure = faults_->OnReceive(from); !failure.ok()) return Fail(failure);
  }
  const RequestId id = requests_.Add();
  requests_.at(id).inner = inner_->Receive(from, tag, bytes);
  return id;
}

std::optional<absl::Status> FaultyTransport::Test(RequestId request) {
  const Request& tested = requests_.at(request);
  std::optional<absl::Status> outcome =
      tested.inner == kNoRequest ? tested.scripted : inner_->Test(tested.inner);
  if (outcome) requests_.Remove(request);
  return outcome;
}

absl::Status FaultyTransport::Wait(RequestId request, absl::Time deadline) {
  const Request& waited = requests_.at(request);
  absl::Status outcome =
      waited.inner == kNoRequest ? waited.scripted : inner_->Wait(waited.inner, deadline);
  requests_.Remove(request);
  return outcome;
}

std::optional<size_t> FaultyTransport::WaitAny(absl::Span<const RequestId> requests,
                                               absl::Time deadline) {
  std::vector<RequestId> inner(requests.size(), kNoRequest);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i] == kNoRequest) continue;
    inner[i] = requests_.at(requests[i]).inner;
    if (inner[i] == kNoRequest) return i;
  }
  return inner_->WaitAny(inner, deadline);
}

RequestId FaultyTransport::Fail(const absl::Status& status) {
  const RequestId id = requests_.Add();
  requests_.at(id).scripted = status;
  return id;
}

}  // namespace sluice
