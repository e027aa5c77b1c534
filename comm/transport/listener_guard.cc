#include "comm/transport/listener_guard.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "absl/container/btree_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "ucs/async/async_fwd.h"

// Of ucs/async/async.h, which is not installed: runs the handlers of these descriptors on this thread. (ucs_async_poll(),
// which is, would run those of other workers too, beside their threads.)
extern "C" ucs_status_t ucs_async_dispatch_handlers(int* descriptors, size_t count,
                                                    ucs_event_set_types_t events);

namespace sluice {
namespace {

constexpr int kMostLines = 10;  // about strangers, in the log

struct Endpoint {
  std::string address;
  uint16_t port = 0;
};

std::optional<int> Option(int descriptor, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(descriptor, SOL_SOCKET, name, &value, &length) != 0) return std::nullopt;
  return value;
}

// Its domain is of IP when this is called.
Endpoint EndpointOf(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  Endpoint endpoint;
  if (address->sa_family == AF_INET) {
    const auto* of4 = reinterpret_cast<const sockaddr_in*>(address);
    endpoint.port = ntohs(of4->sin_port);
    inet_ntop(AF_INET, &of4->sin_addr, text.data(), text.size());
  } else {
    const auto* of6 = reinterpret_cast<const sockaddr_in6*>(address);
    endpoint.port = ntohs(of6->sin6_port);
    inet_ntop(AF_INET6, &of6->sin6_addr, text.data(), text.size());
  }
  endpoint.address = text.data();
  return endpoint;
}

// getsockname or getpeername.
template <class Name>
std::optional<Endpoint> EndpointOf(int descriptor, Name name) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (name(descriptor, address, &length) != 0) return std::nullopt;
  return EndpointOf(address);
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

// This process's TCP sockets that listen, or that do not.
std::vector<int> TcpSockets(bool listening) {
  std::vector<int> sockets;
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir("/proc/self/fd"));
  if (directory == nullptr) return sockets;
  while (const dirent* entry = readdir(directory.get())) {
    int descriptor = -1;
    if (!absl::SimpleAtoi(entry->d_name, &descriptor)) continue;
    const auto domain = Option(descriptor, SO_DOMAIN);
    if ((domain == AF_INET || domain == AF_INET6) && Option(descriptor, SO_TYPE) == SOCK_STREAM &&
        Option(descriptor, SO_ACCEPTCONN) == static_cast<int>(listening)) {
      sockets.push_back(descriptor);
    }
  }
  std::sort(sockets.begin(), sockets.end());
  return sockets;
}

// What a descriptor stands for, which another one with its number does not; 0: nothing.
uint64_t InodeOf(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

// UCX finds the connection closed, without a byte in it.
void PutOut(int descriptor) {
  shutdown(descriptor, SHUT_RDWR);  // first: nothing comes in any more
  std::array<char, 4096> unread{};
  while (recv(descriptor, unread.data(), unread.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace

std::vector<int> ListenerGuard::ListeningSockets() { return TcpSockets(true); }

ListenerGuard::ListenerGuard(const std::vector<int>& before, const std::string& worker_address) {
  for (const int descriptor : ListeningSockets()) {
    if (std::binary_search(before.begin(), before.end(), descriptor)) continue;
    const std::optional<Endpoint> bound = EndpointOf(descriptor, getsockname);
    if (!bound.has_value()) continue;
    const std::string port{static_cast<char>(bound->port >> 8), static_cast<char>(bound->port & 0xff)};
    if (worker_address.find(port) == std::string::npos) continue;  // another thread's
    // Unknown to UCX's thread, or held back: the same.
    (void)ucs_async_modify_handler(descriptor, 0);
    listeners_.push_back({descriptor, InodeOf(descriptor), bound->port, bound->address});
  }
}

std::vector<std::string> ListenerGuard::Sources() const {
  absl::btree_set<std::string> sources;
  for (const Listener& listener : listeners_) sources.insert(listener.address);
  ifaddrs* devices = nullptr;
  if (getifaddrs(&devices) == 0) {
    for (const ifaddrs* device = devices; device != nullptr; device = device->ifa_next) {
      if (device->ifa_addr == nullptr || (device->ifa_flags & IFF_LOOPBACK) != 0) continue;
      const int family = device->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      sources.insert(EndpointOf(device->ifa_addr).address);
    }
    freeifaddrs(devices);
  }
  return {sources.begin(), sources.end()};
}

void ListenerGuard::Admit(std::vector<std::string> sources) { admitted_ = std::move(sources); }

void ListenerGuard::TakePeers() {
  bool came = !looked_;
  looked_ = true;
  for (Listener& listener : listeners_) {
    if (InodeOf(listener.descriptor) != listener.inode) continue;  // as below
    pollfd polled{listener.descriptor, POLLIN, 0};
    if (poll(&polled, 1, 0) != 1) continue;
    const ucs_status_t accepted =
        ucs_async_dispatch_handlers(&listener.descriptor, 1, UCS_EVENT_SET_EVREAD);
    // Busy, UCX puts it off to the end of its progress: those whom it takes then are looked at before the next one.
    if (accepted != UCS_OK) looked_ = false;
    came = true;
  }
  if (came) PutStrangersOut();
  ForgetClosed();
}

// UCX closes a socket of its own when it cannot accept, as without a free descriptor. Its number may be another's soon.
void ListenerGuard::ForgetClosed() {
  const auto closed = std::stable_partition(
      listeners_.begin(), listeners_.end(),
      [](const Listener& listener) { return InodeOf(listener.descriptor) == listener.inode; });
  for (auto listener = closed; listener != listeners_.end(); ++listener) {
    (void)ucs_async_remove_handler(listener->descriptor, 1);
    SLUICE_LOG(Error, "UCX gave up listening at ", listener->address, ":", listener->port,
               ": it could not accept a connection (too many open files?)");
  }
  listeners_.erase(closed, listeners_.end());
}

void ListenerGuard::Shut() {
  ForgetClosed();
  for (const Listener& listener : listeners_) {
    // UCX would take the end of listening for a failure, and forget to stop watching the descriptor.
    (void)ucs_async_remove_handler(listener.descriptor, 1);
    shutdown(listener.descriptor, SHUT_RD);
  }
  listeners_.clear();
  if (put_out_ > kMostLines) {
    SLUICE_LOG(Warning, put_out_, " connections of strangers to UCX were put out");
  }
}

void ListenerGuard::PutStrangersOut() {
  for (const int descriptor : TcpSockets(false)) {
    const std::optional<Endpoint> here = EndpointOf(descriptor, getsockname);
    if (!here.has_value()) continue;
    const bool guarded = std::any_of(
        listeners_.begin(), listeners_.end(), [&](const Listener& listener) {
          return listener.port == here->port && listener.address == here->address;
        });
    if (!guarded) continue;
    // Who has gone already has no address any more, and may have left bytes to read.
    const std::string from = EndpointOf(descriptor, getpeername).value_or(Endpoint{}).address;
    if (std::find(admitted_.begin(), admitted_.end(), from) != admitted_.end()) continue;
    PutOut(descriptor);
    if (++put_out_ <= kMostLines) {
      SLUICE_LOG(Warning, "put out a connection to UCX at ", here->address, ":", here->port,
                 from.empty() ? std::string(", which is over")
                              : absl::StrCat(" from ", from, ", where no peer is"));
    }
  }
}

}  // namespace sluice
