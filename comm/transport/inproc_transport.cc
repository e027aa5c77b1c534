#include "comm/transport/inproc_transport.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "comm/transport/operation.h"
#include "comm/transport/request_table.h"

namespace sluice {
namespace {

struct InprocRequest {
  Operation operation;
  absl::Span<std::byte> buffer;         // receives only
  std::optional<absl::Status> outcome;  // set once over
};

// Messages sent and not received yet, or receives posted and not met yet; never both.
struct Mailbox {
  std::deque<std::vector<std::byte>> messages;
  std::deque<InprocRequest*> receives;
};

struct InprocPeer {
  bool gone = false;
  bool woken = false;
  std::optional<std::string> abort_reason;
  RequestTable<InprocRequest> requests;
  TransportCounters counters;
  std::condition_variable changed;  // a request of this peer is over
};

// What the peers share; `mutex` guards all of it. std::mutex: ThreadSanitizer cannot see into the
// system's absl::Mutex.
struct Hub {
  explicit Hub(int peers) : peers(peers) {}

  std::mutex mutex;
  std::deque<InprocPeer> peers;
  std::map<std::tuple<int64_t, int64_t, MessageTag>, Mailbox> mailboxes;  // (from, to, tag)
};

void Finish(InprocPeer& owner, InprocRequest& request, absl::Status outcome) {
  request.outcome = std::move(outcome);
  owner.changed.notify_all();
}

void Deliver(InprocPeer& receiver, InprocRequest& request, absl::Span<const std::byte> message) {
  if (message.size() != request.buffer.size()) {
    Finish(receiver, request, WrongLength(request.operation, message.size()));
    return;
  }
  if (!message.empty()) std::memcpy(request.buffer.data(), message.data(), message.size());
  receiver.counters.received_bytes += static_cast<int64_t>(message.size());
  ++receiver.counters.received_messages;
  Finish(receiver, request, absl::OkStatus());
}

class InprocTransport : public Transport {
 public:
  // The peers co-own the hub: the last one destroyed takes it along.
  InprocTransport(std::shared_ptr<Hub> hub, Rank self)
      : hub_(std::move(hub)), self_(self), peers_(static_cast<int>(hub_->peers.size())) {}

  ~InprocTransport() override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    me().gone = true;
    for (auto& [key, mailbox] : hub_->mailboxes) {
      const auto [from, to, tag] = key;
      if (to == self_.value) mailbox = Mailbox();
      if (from != self_.value) continue;
      for (InprocRequest* request : std::exchange(mailbox.receives, {})) {
        Finish(peer(Rank(to)), *request, PeerGone(request->operation, "it left"));
      }
    }
  }

  Rank self() const override { return self_; }
  int peers() const override { return peers_; }

  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    const RequestId id = Start({Operation::Kind::kSend, to, tag, bytes.size()});
    InprocRequest& request = me().requests.at(id);
    me().counters.sent_bytes += static_cast<int64_t>(bytes.size());
    ++me().counters.sent_messages;
    if (request.outcome) return id;
    if (peer(to).gone) {
      request.outcome = PeerGone(request.operation, "it left");
      return id;
    }
    request.outcome = absl::OkStatus();
    const auto found = hub_->mailboxes.try_emplace({self_.value, to.value, tag}).first;
    Mailbox& mailbox = found->second;
    if (mailbox.receives.empty()) {
      mailbox.messages.emplace_back(bytes.begin(), bytes.end());
      return id;
    }
    Deliver(peer(to), *mailbox.receives.front(), bytes);
    mailbox.receives.pop_front();
    if (mailbox.receives.empty()) hub_->mailboxes.erase(found);
    return id;
  }

  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    const RequestId id = Start({Operation::Kind::kReceive, from, tag, bytes.size()});
    InprocRequest& request = me().requests.at(id);
    if (request.outcome) return id;
    request.buffer = bytes;
    const auto found = hub_->mailboxes.try_emplace({from.value, self_.value, tag}).first;
    Mailbox& mailbox = found->second;
    if (!mailbox.messages.empty()) {
      Deliver(me(), request, mailbox.messages.front());
      mailbox.messages.pop_front();
      if (mailbox.messages.empty()) hub_->mailboxes.erase(found);
    } else if (peer(from).gone) {
      request.outcome = PeerGone(request.operation, "it left");
    } else {
      mailbox.receives.push_back(&request);
    }
    return id;
  }

  std::optional<absl::Status> Test(RequestId request) override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    if (!me().requests.at(request).outcome) return std::nullopt;
    return Retire(request);
  }

  absl::Status Wait(RequestId request, absl::Time deadline) override {
    std::unique_lock<std::mutex> lock(hub_->mutex);
    InprocRequest& waited = me().requests.at(request);
    if (!SleepUntil(lock, deadline, [&] { return waited.outcome.has_value(); })) {
      Withdraw(waited);
      waited.outcome = DeadlinePassed(waited.operation);
    }
    return Retire(request);
  }

  std::optional<size_t> WaitAny(absl::Span<const RequestId> requests,
                                absl::Time deadline) override {
    std::unique_lock<std::mutex> lock(hub_->mutex);
    bool any = false;
    for (RequestId request : requests) any = any || request != kNoRequest;
    if (!any) return std::nullopt;
    std::optional<size_t> over;
    SleepUntil(lock, deadline, [&] {
      for (size_t i = 0; i < requests.size() && !over; ++i) {
        if (requests[i] != kNoRequest && me().requests.at(requests[i]).outcome) over = i;
      }
      return over.has_value() || std::exchange(me().woken, false);
    });
    return over;
  }

  void Wake() override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    me().woken = true;
    me().changed.notify_all();
  }

  void Abort(absl::string_view reason) override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    if (me().abort_reason) return;
    me().abort_reason = std::string(reason);
    me().requests.ForEach([&](InprocRequest& request) {
      if (request.outcome) return;
      Withdraw(request);
      request.outcome = Aborted(request.operation, reason);
    });
    me().changed.notify_all();
  }

  TransportCounters counters() const override {
    const std::lock_guard<std::mutex> lock(hub_->mutex);
    return hub_->peers[static_cast<size_t>(self_.value)].counters;
  }

 private:
  InprocPeer& peer(Rank rank) { return hub_->peers[static_cast<size_t>(rank.value)]; }
  InprocPeer& me() { return peer(self_); }

  RequestId Start(const Operation& operation) {
    SLUICE_CHECK(operation.peer != self_ && operation.peer >= Rank(0) &&
                     operation.peer < Rank(peers_) && operation.tag >> kMessageTagBits == 0,
                 "peer or tag of a message is out of range");
    const RequestId id = me().requests.Add();
    InprocRequest& request = me().requests.at(id);
    request.operation = operation;
    if (me().abort_reason) request.outcome = Aborted(operation, *me().abort_reason);
    return id;
  }

  absl::Status Retire(RequestId id) {
    absl::Status outcome = *std::move(me().requests.at(id).outcome);
    me().requests.Remove(id);
    return outcome;
  }

  // Takes a posted receive out of its mailbox. Sends are over when they start.
  void Withdraw(InprocRequest& request) {
    const auto found =
        hub_->mailboxes.find({request.operation.peer.value, self_.value, request.operation.tag});
    auto& receives = found->second.receives;
    for (auto it = receives.begin(); it != receives.end(); ++it) {
      if (*it != &request) continue;
      receives.erase(it);
      break;
    }
    if (receives.empty()) hub_->mailboxes.erase(found);
  }

  // \return whether `over` became true before the deadline
  template <class Predicate>
  bool SleepUntil(std::unique_lock<std::mutex>& lock, absl::Time deadline, Predicate over) {
    if (deadline == absl::InfiniteFuture()) {
      me().changed.wait(lock, over);
      return true;
    }
    return me().changed.wait_until(lock, absl::ToChronoTime(deadline), over);
  }

  const std::shared_ptr<Hub> hub_;
  const Rank self_;
  const int peers_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> CreateInprocTransports(int peers) {
  const auto hub = std::make_shared<Hub>(peers);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int rank = 0; rank < peers; ++rank) {
    transports.push_back(std::make_unique<InprocTransport>(hub, Rank(rank)));
  }
  return transports;
}

}  // namespace sluice
