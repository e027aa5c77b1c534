#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

/// Keeps strangers away from the sockets on which UCX listens for tcp, before UCX reads a byte of theirs: it ends the
/// process on some (docs/security.md).
///
///     held back --(1)--> taken when asked --(2)--> shut     (1) Admit()   (2) Shut()
///
/// UCX accepts connections on a thread of its own and reads from them when its worker makes progress. The guard takes
/// the sockets from that thread (ucs/async) and has UCX accept in TakePeers() alone, which then closes whatever does not
/// come from a peer's host. So with TakePeers() right before each progress, UCX reads peers' hosts only. Once shut,
/// nobody listens.
///
/// The sockets are UCX's, whose worker must live during each call.
///
/// \threadsafety one thread at a time
class ListenerGuard {
 public:
  /// Listening TCP sockets of this process, by descriptor, ascending.
  static std::vector<int> ListeningSockets();

  /// Guards nothing.
  ListenerGuard() = default;

  /// \param before          ListeningSockets() from before UCX's worker was made; those are others' sockets
  /// \param worker_address  UCX's, of the worker just made: has the ports of its sockets
  ListenerGuard(const std::vector<int>& before, const std::string& worker_address);

  /// IP addresses from which this process may connect to others, as text: those of the host's network devices, of
  /// loopback ones only where a guarded socket is bound to it.
  std::vector<std::string> Sources() const;

  /// From now on TakePeers() takes connections, from these addresses.
  void Admit(std::vector<std::string> sources);

  /// Has UCX accept who waits, and puts strangers out. Cheap when nobody has come.
  void TakePeers();

  /// Ends listening. Connections that exist go on; those that wait are refused.
  void Shut();

 private:
  struct Listener {
    int descriptor = -1;
    uint64_t inode = 0;
    uint16_t port = 0;
    std::string address;  // bound to, as text
  };

  void PutStrangersOut();
  void ForgetClosed();

  std::vector<Listener> listeners_;
  std::vector<std::string> admitted_;
  bool looked_ = false;  // at who came before the sockets were held back
  int64_t put_out_ = 0;
};

}  // namespace sluice
