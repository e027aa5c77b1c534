#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/transport/doorbell.h"
#include "comm/transport/listener_guard.h"
#include "comm/transport/operation.h"
#include "comm/transport/request_table.h"
#include "comm/transport/tag_cipher.h"
#include "comm/transport/transport.h"
#include "comm/transport/ucx_handles.h"

namespace sluice {

/// The UCX transport once it is connected; made by UcxEndpointSeed::Connect.
///
/// UCX tags, matched exactly:
///
///     63       62 .. 40        39 .. 0
///     notice   sender's rank   MessageTag, 0 for a notice
///
/// On the wire they are sealed with the generation's key (TagCipher), so that messages of strangers, of other jobs
/// and of earlier generations meet no receive.
///
/// Notices are empty messages: two hellos when connecting, a goodbye when leaving. UCX 1.13 neither
/// watches a peer over shared memory nor survives every loss of a connection until its own
/// handshake is over, which it would start with the first large message. So sends wait here (given
/// up before that, they leave UCX alone) until a handshake is over that goes step by step:
///
///     hello      plain: connects the transport below, e.g. tcp, both ways
///     hello      synchronous, once both sides have the other's first: makes UCX do its handshake,
///     over
///                connections that exist, since a message that still waits for one must not fail
///     met        both have taken the other's second
///
/// A peer is live until one of three things happens, and then gone for good:
///
///     live --(1)--> gone     (1) UCX reports that the connection failed
///          --(2)-->          (2) its goodbye arrived: it destroyed its transport
///          --(3)-->          (3) we closed the connection, the only way to free a buffer that UCX
///          holds
///
/// If UCX keeps a request even after (3), the whole mesh is *stuck*: UCX makes no more progress, so that it
/// touches no buffer, everything ends with kUnavailable, and all that is left is to destroy the mesh.
///
/// Messages that were here before stay receivable. Receives that nothing can meet any more are
/// cancelled outside UCX's callbacks, once there is nothing left to progress.
class UcxMesh : public Transport {
 public:
  /// \param guard      of the engine's worker
  /// \param addresses  PeerAddress, by rank; the one at `self` is not used
  /// \param tag_key    see TagCipher; the same for all
  /// \error kUnavailable      naming the rank that cannot be reached
  /// \error kInvalidArgument  `self` or an address is not possible
  static absl::StatusOr<std::unique_ptr<Transport>> Connect(
      UcpEngine engine, ListenerGuard guard, Rank self, const std::vector<std::string>& addresses,
      const std::string& tag_key);

  /// Says goodbye, waits briefly until what was sent has left this process, and closes.
  ~UcxMesh() override;

  Rank self() const override { return self_; }
  int peers() const override { return static_cast<int>(peers_.size()); }
  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override;
  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override;
  std::optional<absl::Status> Test(RequestId request) override;
  absl::Status Wait(RequestId request, absl::Time deadline) override;
  std::optional<size_t> WaitAny(absl::Span<const RequestId> requests, absl::Time deadline) override;
  void Wake() override;
  void Abort(absl::string_view reason) override;
  TransportCounters counters() const override { return counters_; }

 private:
  /// How long a transfer that can no longer be cancelled may take to end with its partner.
  static constexpr absl::Duration kTransfer = absl::Milliseconds(300);
  static constexpr int kNotices = 3;  // two hellos, goodbye

  struct Request {
    Operation operation;
    absl::Span<const std::byte> bytes;  // of a send
    void* handle = nullptr;             // UCX's request, if it needed one
    bool over = false;
    ucs_status_t status = UCS_OK;
    ucp_tag_recv_info_t received{};
    absl::Status ended_by_us;  // why it was cancelled; OK if it was not
  };

  struct Peer {
    UcxMesh* mesh = nullptr;
    ucp_ep_h endpoint = nullptr;  // null once closed
    bool gone = false;
    bool failed = false;  // gone without a goodbye: nothing sent before can come any more
    std::string why;
    std::array<void*, kNotices> awaited_notices{};  // posted receives
    int notices = 0;                                // received
    int hellos_sent = 0;
    int hellos_taken = 0;  // of those sent: the first has left, the second has arrived

    std::deque<Request*> waiting;  // sends, in order, until met() or gone

    /// Whether the handshake is over.
    bool met() const { return hellos_taken == 2 && notices >= 2; }
  };

  UcxMesh(UcpEngine engine, ListenerGuard guard, int worker_fd, Doorbell bell, Rank self,
          size_t peers, const std::string& tag_key);

  absl::Status ConnectTo(Rank rank, const std::string& worker_address);
  absl::Status AwaitNotices(Rank from);
  void SendHello(Peer& to);
  void SendGoodbye(Peer& to);
  static void NoticeReceived(Peer& from);
  static void MarkGone(Peer& peer, absl::string_view why);

  Peer& peer(Rank rank) { return peers_[static_cast<size_t>(rank.value)]; }

  RequestId Start(const Operation& operation);
  void Started(Request& request, ucs_status_ptr_t result);
  absl::Status Retire(RequestId id);
  absl::Status OutcomeOf(const Request& request);

  /// All progress of UCX. \return 0 when there was nothing to move
  unsigned MoveOnce();

  /// Moves on what is in flight, then does what callbacks and Abort left to do.
  /// \return false when there was nothing to move
  bool Progress();
  void EndRequestsOfGonePeers();
  void AdvanceHandshakes();
  void ShutOnceAllHaveMet();
  void PostSend(Request& request);
  void EndAllAsAborted();

  /// Progresses, briefly polling and then asleep, until over() or the deadline. \return over()
  template <class Predicate>
  bool ProgressUntil(absl::Time deadline, Predicate over);

  /// Progresses without sleeping until over() or the deadline. \return over()
  template <class Predicate>
  bool SpinUntil(absl::Time deadline, Predicate over);

  /// Ends `request` with `why`: by cancelling, else with the transfer, else by closing the connection. When
  /// UCX does not let go even then, the mesh is stuck: UCX is called no more, so that it touches no buffer.
  void End(Request& request, absl::Status why) {
    End(request, std::move(why), absl::Now() + kTransfer);
  }
  void End(Request& request, absl::Status why, absl::Time transfer_ends);
  void Close(Peer& peer, absl::string_view why);

  static void OnSent(void* handle, ucs_status_t status, void* request);
  static void OnReceived(void* handle, ucs_status_t status, const ucp_tag_recv_info_t* info,
                         void* request);
  static void OnNotice(void* handle, ucs_status_t status, const ucp_tag_recv_info_t* info,
                       void* peer);
  static void OnHelloTaken(void* handle, ucs_status_t status, void* peer);
  static void OnGoodbyeLeft(void* handle, ucs_status_t status, void* mesh);
  static void OnFailure(void* peer, ucp_ep_h endpoint, ucs_status_t status);

  uint64_t WireTag(Rank sender, MessageTag tag) const;
  uint64_t NoticeTag(Rank sender) const;

  const Rank self_;
  const TagCipher cipher_;
  const int worker_fd_;
  Doorbell bell_;            // rung by Abort and Wake
  std::vector<Peer> peers_;  // never resized: UCX holds pointers
  RequestTable<Request> requests_;
  int hellos_leaving_ = 0;         // hellos sent and not taken yet
  int goodbyes_leaving_ = 0;       // goodbyes, and flushes behind them, that have not left yet
  bool handshakes_moved_ = false;  // a callback has seen one go on
  bool peers_went_ = false;        // some peer has gone, and its requests are to be ended
  bool stuck_ = false;             // UCX does not end a request: nothing is asked of it any more
  TransportCounters counters_;

  std::mutex abort_mutex_;
  std::string abort_reason_;  // guarded by abort_mutex_, constant once abort_requested_
  std::atomic<bool> abort_requested_{false};
  std::atomic<bool> wake_requested_{false};
  bool aborted_ = false;  // comm thread: everything has been ended

  ListenerGuard guard_;
  bool shut_ = false;  // nobody may connect any more

  const UcpEngine
      engine_;  // last, so that it ends first: UCX's requests point into peers_ and requests_
};

}  // namespace sluice
