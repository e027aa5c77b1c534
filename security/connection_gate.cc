#include "security/connection_gate.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/log.h"
#include "base/thread_name.h"

namespace sluice {
namespace {

std::string PeerOf(int fd) {
  sockaddr_storage address;
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof(host), port,
                  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "a peer that has gone";
  }
  return absl::StrCat(host, " port ", port);
}

}  // namespace

ConnectionGate::ConnectionGate(std::shared_ptr<const SecureContext> context, Options options,
                               OnOpen on_open)
    : context_(std::move(context)),
      options_(options),
      on_open_(std::move(on_open)),
      bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SLUICE_CHECK(bell_ >= 0, "a process can have an eventfd");
  thread_ = std::thread([this] { Run(); });
}

ConnectionGate::~ConnectionGate() {
  stopping_.store(true, std::memory_order_release);
  Ring();
  thread_.join();
  for (Waiting& waiting : waiting_) {
    waiting.channel.reset();
    close(waiting.fd);
  }
  absl::MutexLock lock(&mu_);
  for (int fd : taken_) close(fd);
  close(bell_);
}

void ConnectionGate::Ring() {
  const uint64_t one = 1;
  (void)!write(bell_, &one, sizeof(one));
}

void ConnectionGate::Take(int fd) {
  {
    absl::MutexLock lock(&mu_);
    taken_.push_back(fd);
  }
  Ring();
}

void ConnectionGate::Refuse(Waiting& refused, const std::string& why) {
  const auto line = log_.Add(
      absl::StrCat("refused a connection from ", PeerOf(refused.fd), ": ", why), absl::Now());
  if (line) SLUICE_LOG(Warning, *line);
  refused.channel.reset();
  close(refused.fd);
}

bool ConnectionGate::Advance(Waiting& waiting) {
  const absl::StatusOr<short> events = waiting.channel->Advance();
  if (!events.ok()) {
    Refuse(waiting, std::string(events.status().message()));
    return false;
  }
  waiting.events = *events;
  if (*events != 0) return true;
  on_open_(waiting.fd, std::move(waiting.channel));
  return false;
}

void ConnectionGate::Admit() {
  std::vector<int> taken;
  {
    absl::MutexLock lock(&mu_);
    taken.swap(taken_);
  }
  for (int fd : taken) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    Waiting fresh;
    fresh.fd = fd;
    fresh.channel = std::make_unique<SecureChannel>(context_, SecureChannel::Side::kServer, fd);
    fresh.deadline = absl::Now() + options_.handshake;
    if (!Advance(fresh)) continue;
    waiting_.push_back(std::move(fresh));
    if (waiting_.size() > options_.most_waiting) {
      Refuse(waiting_.front(), "too many connections that prove nothing");
      waiting_.pop_front();
    }
  }
}

void ConnectionGate::Run() {
  SetThreadName("sluice-gate");
  std::vector<pollfd> fds;
  while (!stopping_.load(std::memory_order_acquire)) {
    fds.assign(1, {bell_, POLLIN, 0});
    for (const Waiting& waiting : waiting_) fds.push_back({waiting.fd, waiting.events, 0});
    // The oldest has the first deadline.
    const absl::Duration rest =
        waiting_.empty() ? absl::Hours(1) : waiting_.front().deadline - absl::Now();
    poll(fds.data(), fds.size(),
         static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(rest))) + 1);

    const absl::Time now = absl::Now();
    size_t position = 1;
    for (auto waiting = waiting_.begin(); waiting != waiting_.end(); ++position) {
      bool stays = fds[position].revents == 0 || Advance(*waiting);
      if (stays && now >= waiting->deadline) {
        Refuse(*waiting,
               absl::StrCat("it proved nothing within ", absl::FormatDuration(options_.handshake)));
        stays = false;
      }
      waiting = stays ? std::next(waiting) : waiting_.erase(waiting);
    }
    uint64_t rings;
    if (read(bell_, &rings, sizeof(rings)) == sizeof(rings)) Admit();
  }
  if (log_.left_out() > 0) {
    SLUICE_LOG(Warning, log_.left_out(), " more connections were refused");
  }
}

}  // namespace sluice
