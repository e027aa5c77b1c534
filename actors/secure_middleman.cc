#include "actors/secure_middleman.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "caf/io/basp_broker.hpp"
#include "caf/io/middleman_actor_impl.hpp"
#include "caf/io/network/default_multiplexer.hpp"
#include "caf/io/network/doorman_impl.hpp"
#include "caf/io/network/interfaces.hpp"
#include "caf/io/network/stream_impl.hpp"
#include "security/connection_gate.h"

namespace sluice {
namespace {

namespace net = caf::io::network;

// TLS and proofs of one connection from this side.
constexpr absl::Duration kHandshake = absl::Seconds(5);
// A control message, its addresses and type names.
constexpr size_t kMaxFrameBytes = kMaxControlBytes + (64 << 10);

// How CAF's stream reads and writes.
class ChannelPolicy {
 public:
  explicit ChannelPolicy(std::unique_ptr<SecureChannel> channel) : channel_(std::move(channel)) {}

  net::rw_state read_some(size_t& done, net::native_socket, void* buffer, size_t size) {
    if (size == 0) return net::rw_state::success;
    return State(channel_->Read(buffer, size, &done));
  }
  net::rw_state write_some(size_t& done, net::native_socket, const void* bytes, size_t size) {
    done = 0;
    if (size == 0) return net::rw_state::success;
    return State(channel_->Write(bytes, size, &done));
  }
  bool must_read_more(net::native_socket, size_t threshold) {
    return channel_->pending() >= std::max<size_t>(threshold, 1);
  }

 private:
  static net::rw_state State(SecureChannel::Outcome outcome) {
    return outcome == SecureChannel::Outcome::kClosed ? net::rw_state::failure
                                                      : net::rw_state::success;
  }
  std::unique_ptr<SecureChannel> channel_;
};

// A connection as CAF's broker knows it.
class SecureScribe : public caf::io::scribe {
 public:
  SecureScribe(net::default_multiplexer& multiplexer, net::native_socket fd,
               std::unique_ptr<SecureChannel> channel)
      : scribe(net::conn_hdl_from_socket(fd)), stream_(multiplexer, fd, std::move(channel)) {}

  void configure_read(caf::io::receive_policy::config config) override {
    if (config.second > kMaxFrameBytes) {
      SLUICE_LOG(Error, addr(), " port ", port(), " announces a message of ", config.second,
                 " bytes, at most ", kMaxFrameBytes, " are possible: its connection is closed");
      ::shutdown(stream_.fd(), SHUT_RDWR);
      config = caf::io::receive_policy::exactly(1);
    }
    stream_.configure_read(config);
    if (std::exchange(launched_, true)) return;
    stream_.start(this);
  }
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  std::vector<char>& wr_buf() override { return stream_.wr_buf(); }
  std::vector<char>& rd_buf() override { return stream_.rd_buf(); }
  void flush() override { stream_.flush(this); }
  void graceful_shutdown() override {
    stream_.graceful_shutdown();
    detach(&stream_.backend(), false);
  }
  std::string addr() const override {
    auto address = net::remote_addr_of_fd(stream_.fd());
    return address ? *address : "";
  }
  uint16_t port() const override {
    auto port = net::remote_port_of_fd(stream_.fd());
    return port ? *port : 0;
  }
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override { stream_.passivate(); }

 private:
  bool launched_ = false;
  net::stream_impl<ChannelPolicy> stream_;
};

class SecureDoorman;

// Between the gate's thread and the doorman, which may go first.
struct DoormanLink {
  absl::Mutex mu;
  SecureDoorman* doorman ABSL_GUARDED_BY(mu) = nullptr;
};

// A listening socket. What it accepts comes to CAF by way of the gate.
class SecureDoorman : public net::doorman_impl {
 public:
  SecureDoorman(net::default_multiplexer& multiplexer, net::native_socket fd,
                std::shared_ptr<const SecureContext> context)
      : doorman_impl(multiplexer, fd), link_(std::make_shared<DoormanLink>()) {
    {
      absl::MutexLock lock(&link_->mu);
      link_->doorman = this;
    }
    gate_ = std::make_unique<ConnectionGate>(
        std::move(context), ConnectionGate::Options(),
        [&multiplexer, link = link_](int opened, std::unique_ptr<SecureChannel> channel) {
          multiplexer.post([opened, link, held = std::move(channel)]() mutable {
            absl::MutexLock lock(&link->mu);
            if (link->doorman == nullptr || !link->doorman->Introduce(opened, held)) {
              held.reset();
              close(opened);
            }
          });
        });
  }

  ~SecureDoorman() override {
    gate_.reset();
    absl::MutexLock lock(&link_->mu);
    link_->doorman = nullptr;
  }

  // On the multiplexer's thread.
  bool new_connection() override {
    const int fd = acceptor_.accepted_socket();
    if (detached()) {
      close(fd);
      return false;
    }
    gate_->Take(fd);
    return true;
  }

 private:
  // The same, later.
  bool Introduce(int fd, std::unique_ptr<SecureChannel>& channel) {
    if (detached()) return false;
    auto& multiplexer = acceptor_.backend();
    auto scribe = caf::make_counted<SecureScribe>(multiplexer, fd, std::move(channel));
    const caf::io::connection_handle handle = scribe->hdl();
    parent()->add_scribe(std::move(scribe));
    doorman::new_connection(&multiplexer, handle);
    return true;
  }

  const std::shared_ptr<DoormanLink> link_;
  std::unique_ptr<ConnectionGate> gate_;
};

// TLS and proofs, waiting for the other side.
absl::Status Handshake(SecureChannel& channel, int fd, absl::Time deadline) {
  while (true) {
    const absl::StatusOr<short> events = channel.Advance();
    if (!events.ok()) return events.status();
    if (*events == 0) return absl::OkStatus();
    const absl::Duration rest = deadline - absl::Now();
    if (rest <= absl::ZeroDuration()) {
      return absl::UnavailableError(
          absl::StrCat("no answer to TLS for ", absl::FormatDuration(kHandshake)));
    }
    pollfd waits = {fd, *events, 0};
    poll(&waits, 1, static_cast<int>(absl::ToInt64Milliseconds(rest)) + 1);
  }
}

}  // namespace

struct SecureMiddleman::Shared {
  explicit Shared(std::shared_ptr<const SecureContext> secure) : context(std::move(secure)) {}
  const std::shared_ptr<const SecureContext> context;
  absl::Mutex mu;
  absl::Status failure
      ABSL_GUARDED_BY(mu);  // of the last attempt to connect, before CAF's own part
};

namespace {

/// Opens and connects sockets in place of CAF's.
template <class Shared>
class MiddlemanActor : public caf::io::middleman_actor_impl {
 public:
  MiddlemanActor(caf::actor_config& config, caf::actor broker, std::shared_ptr<Shared> shared)
      : middleman_actor_impl(config, std::move(broker)), shared_(std::move(shared)) {}

  const char* name() const override { return "sluice::MiddlemanActor"; }

 protected:
  caf::expected<caf::io::scribe_ptr> connect(const std::string& host, uint16_t port) override {
    auto fd = net::new_tcp_connection(host, port);
    if (!fd) return Failed(absl::UnavailableError(system().render(fd.error())));
    net::nonblocking(*fd, true);
    auto channel =
        std::make_unique<SecureChannel>(shared_->context, SecureChannel::Side::kClient, *fd);
    const absl::Status status = Handshake(*channel, *fd, absl::Now() + kHandshake);
    if (!status.ok()) {
      channel.reset();
      close(*fd);
      return Failed(status);
    }
    return caf::make_counted<SecureScribe>(multiplexer(), *fd, std::move(channel));
  }

  caf::expected<caf::io::doorman_ptr> open(uint16_t port, const char* host, bool reuse) override {
    auto fd = net::new_tcp_acceptor_impl(port, host, reuse);
    if (!fd) return std::move(fd.error());
    return caf::make_counted<SecureDoorman>(multiplexer(), *fd, shared_->context);
  }

 private:
  caf::error Failed(const absl::Status& status) {
    absl::MutexLock lock(&shared_->mu);
    shared_->failure = status;
    return caf::sec::cannot_connect_to_node;
  }
  net::default_multiplexer& multiplexer() {
    return static_cast<net::default_multiplexer&>(system().middleman().backend());
  }

  const std::shared_ptr<Shared> shared_;
};

}  // namespace

SecureMiddleman::SecureMiddleman(caf::actor_system& system,
                                 std::shared_ptr<const SecureContext> context)
    : system_(system), shared_(std::make_shared<Shared>(std::move(context))) {
  caf::actor broker = system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
  actor_ =
      system.spawn<MiddlemanActor<Shared>, caf::detached + caf::hidden>(std::move(broker), shared_);
}

SecureMiddleman::~SecureMiddleman() {
  caf::scoped_actor self{system_, true};
  self->send_exit(actor_, caf::exit_reason::kill);
  self->wait_for(actor_);
}

absl::StatusOr<uint16_t> SecureMiddleman::Publish(const CoordinatorHandle& coordinator,
                                                  const std::string& host, uint16_t port) {
  caf::scoped_actor self{system_};
  absl::StatusOr<uint16_t> result = absl::UnknownError("");
  self->request(
          actor_, caf::infinite, caf::publish_atom::value, port,
          caf::actor_cast<caf::strong_actor_ptr>(coordinator), system_.message_types(coordinator),
          host,
          // A coordinator that takes over finds its predecessor's connections in TIME_WAIT. Two listeners on
          // one port are refused all the same.
          /*reuse=*/true)
      .receive([&](uint16_t opened) { result = opened; },
               [&](caf::error& error) { result = absl::UnavailableError(system_.render(error)); });
  return result;
}

void SecureMiddleman::Unpublish(const CoordinatorHandle& coordinator, uint16_t port) {
  caf::scoped_actor self{system_};
  self->request(actor_, std::chrono::seconds(5), caf::unpublish_atom::value,
                caf::actor_cast<caf::actor_addr>(coordinator), port)
      .receive([] {}, [](caf::error&) {});
}

absl::StatusOr<CoordinatorHandle> SecureMiddleman::Connect(const std::string& host, uint16_t port,
                                                           absl::Duration timeout) {
  caf::scoped_actor self{system_};
  absl::StatusOr<CoordinatorHandle> result = absl::UnknownError("no answer");
  {
    absl::MutexLock lock(&shared_->mu);
    shared_->failure = absl::OkStatus();
  }
  // remote_actor would wait for ever for a frozen peer; a request has a timeout.
  self->request(actor_, absl::ToChronoMilliseconds(timeout), caf::connect_atom::value, host, port)
      .receive(
          [&](const caf::node_id&, caf::strong_actor_ptr& handle, const std::set<std::string>&) {
            if (handle == nullptr) {
              result = absl::UnavailableError("nothing is published on that port");
            } else {
              result = caf::actor_cast<CoordinatorHandle>(handle);
            }
          },
          [&](caf::error& error) {
            absl::MutexLock lock(&shared_->mu);
            if (!shared_->failure.ok()) {
              result = shared_->failure;
            } else if (error == caf::sec::incompatible_application_ids) {
              result = absl::FailedPreconditionError(
                  "it is another program or version: the same sluice is needed everywhere");
            } else {
              result = absl::UnavailableError(system_.render(error));
            }
          });
  return result;
}

}  // namespace sluice
