#include "comm/transport/ucx_mesh.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/transport/peer_address.h"
#include "comm/transport/ucx_status.h"

namespace sluice {
namespace {

constexpr int kRankBits = 23;
constexpr ucp_tag_t kNoticeBit = ucp_tag_t{1} << (kMessageTagBits + kRankBits);
constexpr ucp_tag_t kEveryBit = ~ucp_tag_t{0};

// Processes outnumber cores on small machines: poll no longer than a wake-up costs.
constexpr absl::Duration kPolling = absl::Microseconds(30);
// Keeps one burst of arriving messages from hiding a deadline.
constexpr int kMostProgressAtOnce = 256;
// UCX 1.13 looks at its keep-alive timer in every 32nd call of progress only. With two calls per
// tick of that timer a dead peer over shared memory could stay unnoticed for ever.
constexpr int kCallsPerKeepAlive = 32;
// How long the destructor waits for handshakes to end and for what was sent to leave.
constexpr absl::Duration kFarewell = absl::Seconds(1);
// UCX ends everything on a closed endpoint within milliseconds, or never.
constexpr absl::Duration kClosing = absl::Seconds(1);
// At who wants to connect, while not all peers have met.
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(1);

ucp_tag_t OpenTag(Rank sender, MessageTag tag) {
  return (static_cast<ucp_tag_t>(sender.value) << kMessageTagBits) | tag;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> UcxMesh::Connect(
    UcpEngine engine, ListenerGuard guard, Rank self, const std::vector<std::string>& addresses,
    const std::string& tag_key) {
  const auto peers = static_cast<int64_t>(addresses.size());
  if (self < Rank(0) || self >= Rank(peers) || peers > (int64_t{1} << kRankBits)) {
    return absl::InvalidArgumentError(
        absl::StrCat("connect: ", ToString(self), " is not one of ", peers, " peers"));
  }
  int worker_fd = -1;
  SLUICE_RETURN_IF_ERROR(
      FromUcs(ucp_worker_get_efd(engine.worker.get(), &worker_fd), "UCX has no event descriptor"));
  SLUICE_ASSIGN_OR_RETURN(Doorbell bell, Doorbell::Create());
  std::vector<PeerAddress> parsed;
  std::vector<std::string> sources;
  for (int64_t rank = 0; rank < peers; ++rank) {
    parsed.push_back(ParsePeerAddress(addresses[static_cast<size_t>(rank)]));
    if (Rank(rank) == self) continue;
    sources.insert(sources.end(), parsed.back().sources.begin(), parsed.back().sources.end());
  }
  guard.Admit(std::move(sources));
  std::unique_ptr<UcxMesh> mesh(new UcxMesh(std::move(engine), std::move(guard), worker_fd,
                                            std::move(bell), self, addresses.size(), tag_key));
  for (int64_t rank = 0; rank < peers; ++rank) {
    if (Rank(rank) == self) continue;
    SLUICE_RETURN_IF_ERROR(mesh->ConnectTo(Rank(rank), parsed[static_cast<size_t>(rank)].worker));
  }
  mesh->ShutOnceAllHaveMet();  // there may be no others
  return mesh;
}

uint64_t UcxMesh::WireTag(Rank sender, MessageTag tag) const {
  return cipher_.Seal(OpenTag(sender, tag));
}

uint64_t UcxMesh::NoticeTag(Rank sender) const {
  return cipher_.Seal(kNoticeBit | OpenTag(sender, 0));
}

UcxMesh::UcxMesh(UcpEngine engine, ListenerGuard guard, int worker_fd, Doorbell bell, Rank self,
                 size_t peers, const std::string& tag_key)
    : self_(self),
      cipher_(tag_key),
      worker_fd_(worker_fd),
      bell_(std::move(bell)),
      peers_(peers),
      guard_(std::move(guard)),
      engine_(std::move(engine)) {}

absl::Status UcxMesh::ConnectTo(Rank rank, const std::string& worker_address) {
  if (worker_address.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("connect: the transport address of ", ToString(rank), " is empty"));
  }
  Peer& connected = peer(rank);
  connected.mesh = this;
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(worker_address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = &OnFailure;
  params.err_handler.arg = &connected;
  const ucs_status_t status = ucp_ep_create(engine_.worker.get(), &params, &connected.endpoint);
  if (status != UCS_OK) {
    connected.endpoint = nullptr;
    return absl::UnavailableError(absl::StrCat("connect: ", ToString(rank),
                                               " cannot be reached: ", ucs_status_string(status)));
  }
  SLUICE_RETURN_IF_ERROR(AwaitNotices(rank));
  SendHello(connected);
  return absl::OkStatus();
}

absl::Status UcxMesh::AwaitNotices(Rank from) {
  Peer& sender = peer(from);
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.recv = &OnNotice;
  param.user_data = &sender;
  for (void*& awaited : sender.awaited_notices) {
    const ucs_status_ptr_t posted =
        ucp_tag_recv_nbx(engine_.worker.get(), nullptr, 0, NoticeTag(from), kEveryBit, &param);
    if (UCS_PTR_IS_ERR(posted)) return FromUcs(UCS_PTR_STATUS(posted), "connect");
    if (posted == nullptr) NoticeReceived(sender);
    awaited = posted;
  }
  return absl::OkStatus();
}

void UcxMesh::SendHello(Peer& to) {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.send = &OnHelloTaken;
  param.user_data = &to;
  const auto send = to.hellos_sent == 0 ? &ucp_tag_send_nbx : &ucp_tag_send_sync_nbx;
  ++to.hellos_sent;
  const ucs_status_ptr_t started = send(to.endpoint, nullptr, 0, NoticeTag(self_), &param);
  if (UCS_PTR_IS_PTR(started)) {
    ++hellos_leaving_;
  } else if (started == nullptr) {
    ++to.hellos_taken;
    handshakes_moved_ = true;
  }  // else OnFailure reports the error as well
}

void UcxMesh::SendGoodbye(Peer& to) {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.send = &OnGoodbyeLeft;
  param.user_data = this;
  // It travels behind everything sent before; the flush ends when that has left this process.
  if (UCS_PTR_IS_PTR(ucp_tag_send_nbx(to.endpoint, nullptr, 0, NoticeTag(self_), &param))) {
    ++goodbyes_leaving_;
  }
  if (UCS_PTR_IS_PTR(ucp_ep_flush_nbx(to.endpoint, &param))) ++goodbyes_leaving_;
}

UcxMesh::~UcxMesh() {
  if (stuck_) return;  // destroying UCX's worker is all that is left
  const absl::Time farewell_ends = absl::Now() + kFarewell;
  ProgressUntil(farewell_ends, [&] {
    return std::all_of(peers_.begin(), peers_.end(), [](const Peer& other) {
      return other.endpoint == nullptr || other.gone || other.met();
    });
  });
  for (Peer& left : peers_) {
    if (left.endpoint != nullptr && !left.gone) SendGoodbye(left);
  }
  ProgressUntil(farewell_ends, [&] { return goodbyes_leaving_ == 0; });

  for (Peer& left : peers_) {
    for (void* awaited : left.awaited_notices) {
      if (awaited != nullptr) ucp_request_cancel(engine_.worker.get(), awaited);
    }
    Close(left, "this process left");
    if (stuck_) return;
  }
  requests_.ForEach([&](Request& request) {
    if (!request.over) End(request, absl::CancelledError("this process left"));
    if (request.handle != nullptr) ucp_request_free(request.handle);
  });
  ProgressUntil(absl::Now() + kClosing,
                [&] { return goodbyes_leaving_ == 0 && hellos_leaving_ == 0; });
}

RequestId UcxMesh::Start(const Operation& operation) {
  SLUICE_CHECK(operation.peer != self_ && operation.peer >= Rank(0) &&
                   operation.peer < Rank(peers()) && operation.tag >> kMessageTagBits == 0,
               "peer or tag of a message is out of range");
  const RequestId id = requests_.Add();
  Request& request = requests_.at(id);
  request.operation = operation;
  if (aborted_) {
    request.ended_by_us = Aborted(operation, abort_reason_);
    request.over = true;
  } else if (stuck_) {
    request.ended_by_us = PeerGone(operation, "UCX is stuck in an earlier transfer");
    request.over = true;
  }
  return id;
}

void UcxMesh::Started(Request& request, ucs_status_ptr_t result) {
  if (UCS_PTR_IS_PTR(result)) {
    request.handle = result;  // its callback may have been called already
    return;
  }
  request.status = UCS_PTR_RAW_STATUS(result);
  request.over = true;
}

RequestId UcxMesh::Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) {
  const RequestId id = Start({Operation::Kind::kSend, to, tag, bytes.size()});
  Request& request = requests_.at(id);
  counters_.sent_bytes += static_cast<int64_t>(bytes.size());
  ++counters_.sent_messages;
  if (request.over) return id;
  if (peer(to).gone) {
    request.ended_by_us = PeerGone(request.operation, peer(to).why);
    request.over = true;
    return id;
  }
  request.bytes = bytes;
  if (peer(to).met() && peer(to).waiting.empty()) {
    PostSend(request);
  } else {
    peer(to).waiting.push_back(&request);
  }
  return id;
}

void UcxMesh::PostSend(Request& request) {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.send = &OnSent;
  param.user_data = &request;
  Started(request,
          ucp_tag_send_nbx(peer(request.operation.peer).endpoint, request.bytes.data(),
                           request.bytes.size(), WireTag(self_, request.operation.tag), &param));
}

RequestId UcxMesh::Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) {
  const RequestId id = Start({Operation::Kind::kReceive, from, tag, bytes.size()});
  Request& request = requests_.at(id);
  if (request.over) return id;
  ucp_request_param_t param{};
  // UCX 1.13 tells the length to callbacks alone, hence no completion without one.
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  param.cb.recv = &OnReceived;
  param.user_data = &request;
  Started(request, ucp_tag_recv_nbx(engine_.worker.get(), bytes.data(), bytes.size(),
                                    WireTag(from, tag), kEveryBit, &param));
  // A message that came before its sender went has been matched now; nothing else will come.
  if (!request.over && peer(from).gone) peers_went_ = true;
  return id;
}

std::optional<absl::Status> UcxMesh::Test(RequestId request) {
  const Request& tested = requests_.at(request);
  if (!tested.over) Progress();
  if (!tested.over) return std::nullopt;
  return Retire(request);
}

absl::Status UcxMesh::Wait(RequestId request, absl::Time deadline) {
  Request& waited = requests_.at(request);
  if (!ProgressUntil(deadline, [&] { return waited.over; })) {
    End(waited, DeadlinePassed(waited.operation));
  }
  return Retire(request);
}

std::optional<size_t> UcxMesh::WaitAny(absl::Span<const RequestId> requests, absl::Time deadline) {
  bool any = false;
  for (RequestId request : requests) any = any || request != kNoRequest;
  if (!any) return std::nullopt;
  std::optional<size_t> found;
  ProgressUntil(deadline, [&] {
    for (size_t i = 0; i < requests.size() && !found; ++i) {
      if (requests[i] != kNoRequest && requests_.at(requests[i]).over) found = i;
    }
    return found.has_value() || wake_requested_.exchange(false, std::memory_order_acquire);
  });
  return found;
}

void UcxMesh::Wake() {
  wake_requested_.store(true, std::memory_order_release);
  bell_.Ring();
}

void UcxMesh::Abort(absl::string_view reason) {
  {
    const std::lock_guard<std::mutex> lock(abort_mutex_);
    if (abort_requested_.load(std::memory_order_relaxed)) return;
    abort_reason_ = std::string(reason);
    abort_requested_.store(true, std::memory_order_release);
  }
  bell_.Ring();
}

absl::Status UcxMesh::Retire(RequestId id) {
  Request& request = requests_.at(id);
  absl::Status outcome = OutcomeOf(request);
  if (outcome.ok() && request.operation.kind == Operation::Kind::kReceive) {
    counters_.received_bytes += static_cast<int64_t>(request.received.length);
    ++counters_.received_messages;
  }
  if (request.handle != nullptr) ucp_request_free(request.handle);
  requests_.Remove(id);
  return outcome;
}

absl::Status UcxMesh::OutcomeOf(const Request& request) {
  const bool receive = request.operation.kind == Operation::Kind::kReceive;
  if (request.status == UCS_OK && request.ended_by_us.ok()) {
    if (receive && request.received.length != request.operation.bytes) {
      return WrongLength(request.operation, request.received.length);
    }
    return absl::OkStatus();
  }
  if (!request.ended_by_us.ok()) return request.ended_by_us;
  if (receive && request.status == UCS_ERR_MESSAGE_TRUNCATED) {
    return WrongLength(request.operation, request.received.length);
  }
  if (const Peer& other = peer(request.operation.peer); other.gone) {
    return PeerGone(request.operation, other.why);
  }
  absl::Status outcome = FromUcs(request.status, ToString(request.operation));
  // A connection can fail under a request before UCX reports it.
  if (!absl::IsDataLoss(outcome)) {
    return PeerGone(request.operation, ucs_status_string(request.status));
  }
  return outcome;
}

unsigned UcxMesh::MoveOnce() {
  if (!shut_) guard_.TakePeers();
  return ucp_worker_progress(engine_.worker.get());
}

bool UcxMesh::Progress() {
  int moved = 0;
  while (!stuck_ && moved < kMostProgressAtOnce && MoveOnce() != 0)
    ++moved;
  if (abort_requested_.load(std::memory_order_acquire) && !aborted_) EndAllAsAborted();
  if (stuck_) {
    requests_.ForEach([&](Request& request) {
      if (!request.over) End(request, PeerGone(request.operation, "UCX is stuck in a transfer"));
    });
    return false;
  }
  if (peers_went_) ShutOnceAllHaveMet();
  if (handshakes_moved_) AdvanceHandshakes();
  if (peers_went_ && moved < kMostProgressAtOnce) EndRequestsOfGonePeers();
  return moved > 0;
}

void UcxMesh::EndRequestsOfGonePeers() {
  peers_went_ = false;
  requests_.ForEach([&](Request& request) {
    const Peer& other = peer(request.operation.peer);
    if (stuck_ || request.over || !other.gone) return;
    if (request.operation.kind == Operation::Kind::kSend || other.failed) {
      End(request, PeerGone(request.operation, other.why));
    } else {
      // One that has met its message is not cancelled by this: it ends with the transfer.
      ucp_request_cancel(engine_.worker.get(), request.handle);
    }
  });
}

void UcxMesh::AdvanceHandshakes() {
  handshakes_moved_ = false;
  for (Peer& other : peers_) {
    if (other.endpoint == nullptr || other.gone) continue;
    if (other.hellos_sent == 1 && other.hellos_taken == 1 && other.notices >= 1) SendHello(other);
    if (!other.met()) continue;
    for (Request* request : std::exchange(other.waiting, {})) PostSend(*request);
  }
  ShutOnceAllHaveMet();
}

void UcxMesh::ShutOnceAllHaveMet() {
  const bool all = std::all_of(peers_.begin(), peers_.end(), [](const Peer& other) {
    return other.mesh == nullptr || other.gone || other.met();  // nullptr: ourselves
  });
  if (shut_ || !all) return;
  shut_ = true;
  guard_.Shut();
}

void UcxMesh::EndAllAsAborted() {
  aborted_ = true;
  const absl::Time transfers_end = absl::Now() + kTransfer;  // of all of them together
  requests_.ForEach([&](Request& request) {
    if (!request.over) End(request, Aborted(request.operation, abort_reason_), transfers_end);
  });
}

template <class Predicate>
bool UcxMesh::ProgressUntil(absl::Time deadline, Predicate over) {
  if (over()) return true;
  absl::Time polling_until = absl::InfinitePast();
  while (true) {
    const bool moved = Progress();
    if (over()) return true;
    const absl::Time now = absl::Now();
    if (now >= deadline) return false;
    if (moved || polling_until == absl::InfinitePast()) polling_until = now + kPolling;
    if (now < polling_until) {
      // The peer that is waited for may need this core.
      if (!moved) sched_yield();
      continue;
    }
    if (stuck_) return false;  // nothing will come any more
    // UCS_ERR_BUSY: something arrived since, or UCX waits for room in a peer's queue, of which no event tells.
    if (ucp_worker_arm(engine_.worker.get()) != UCS_OK) {
      sched_yield();
      continue;
    }
    // Until then, nothing wakes this thread when a peer connects.
    bell_.SleepOn(worker_fd_, shut_ ? deadline : std::min(deadline, now + kBetweenLooks));
    for (int call = 0; call < kCallsPerKeepAlive && !stuck_; ++call) {
      MoveOnce();
    }
  }
}

template <class Predicate>
bool UcxMesh::SpinUntil(absl::Time deadline, Predicate over) {
  while (!over() && absl::Now() < deadline) MoveOnce();
  return over();
}

void UcxMesh::End(Request& request, absl::Status why, absl::Time transfer_ends) {
  request.ended_by_us = std::move(why);
  const auto over = [&] { return request.over; };
  if (!stuck_) {
    std::deque<Request*>& waiting = peer(request.operation.peer).waiting;
    if (const auto unsent = std::find(waiting.begin(), waiting.end(), &request);
        unsent != waiting.end()) {
      waiting.erase(unsent);
      request.over = true;
      return;
    }
    if (request.operation.kind == Operation::Kind::kReceive) {
      ucp_request_cancel(engine_.worker.get(), request.handle);
    }
    // UCX cancels neither sends nor receives that have met their message. Those end with the
    // transfer, or when the partner closes; on a connection closed under them they may never end.
    if (SpinUntil(transfer_ends, over)) return;
    Close(peer(request.operation.peer), request.ended_by_us.message());
    if (!stuck_ && SpinUntil(absl::Now() + kClosing, over)) return;
    stuck_ = true;
  }
  request.over = true;
  request.handle = nullptr;  // UCX's until its worker is destroyed
}

void UcxMesh::Close(Peer& closed, absl::string_view why) {
  MarkGone(closed, why);
  if (closed.endpoint == nullptr || stuck_) return;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  const ucs_status_ptr_t closing =
      ucp_ep_close_nbx(std::exchange(closed.endpoint, nullptr), &param);
  if (!UCS_PTR_IS_PTR(closing)) return;
  if (SpinUntil(absl::Now() + kClosing,
                [&] { return ucp_request_check_status(closing) != UCS_INPROGRESS; })) {
    ucp_request_free(closing);
  } else {
    stuck_ = true;
  }
}

void UcxMesh::OnSent(void*, ucs_status_t status, void* request) {
  auto* sent = static_cast<Request*>(request);
  sent->status = status;
  sent->over = true;
}

void UcxMesh::OnReceived(void* handle, ucs_status_t status, const ucp_tag_recv_info_t* info,
                         void* request) {
  auto* received = static_cast<Request*>(request);
  received->received = *info;
  OnSent(handle, status, request);
}

void UcxMesh::OnNotice(void* handle, ucs_status_t status, const ucp_tag_recv_info_t*, void* peer) {
  auto* from = static_cast<Peer*>(peer);
  for (void*& awaited : from->awaited_notices) {
    if (awaited == handle) awaited = nullptr;
  }
  ucp_request_free(handle);
  if (status == UCS_OK) NoticeReceived(*from);
}

void UcxMesh::NoticeReceived(Peer& from) {
  ++from.notices;
  from.mesh->handshakes_moved_ = true;
  if (from.notices == kNotices) MarkGone(from, "it left");
}

void UcxMesh::OnHelloTaken(void* handle, ucs_status_t status, void* peer) {
  auto* taker = static_cast<Peer*>(peer);
  if (status == UCS_OK) ++taker->hellos_taken;
  taker->mesh->handshakes_moved_ = true;
  --taker->mesh->hellos_leaving_;
  ucp_request_free(handle);
}

void UcxMesh::OnGoodbyeLeft(void* handle, ucs_status_t, void* mesh) {
  --static_cast<UcxMesh*>(mesh)->goodbyes_leaving_;
  ucp_request_free(handle);
}

void UcxMesh::OnFailure(void* peer, ucp_ep_h, ucs_status_t status) {
  auto* failed = static_cast<Peer*>(peer);
  if (!failed->gone) failed->failed = true;
  MarkGone(*failed, ucs_status_string(status));
}

void UcxMesh::MarkGone(Peer& peer, absl::string_view why) {
  // In the destructor a peer may be one that was never connected: ourselves.
  if (peer.gone || peer.mesh == nullptr) return;
  peer.gone = true;
  peer.why = std::string(why);
  peer.mesh->peers_went_ = true;
}

}  // namespace sluice
