#include "security/secure_channel.h"

#include <poll.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "openssl/err.h"
#include "security/keyed_hash.h"

namespace sluice {
namespace {

constexpr size_t kProtocolBytes = sizeof(kControlProtocol) - 1;
constexpr size_t kHelloHead = kProtocolBytes + kKeyBytes + 1;  // up to the job's id
constexpr size_t kVerdictHead = 1 + kKeyBytes + 1;

constexpr char kWelcome = 0;
constexpr char kOtherProtocol = 1;
constexpr char kOtherJob = 2;
constexpr char kNoProof = 3;

// An id of somebody else's, for a message: what is not printable is not printed.
std::string Shown(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text), "\"");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SecureContext>> SecureContext::Create(
    const Credentials& credentials, const std::string& job_id) {
  if (job_id.empty() || job_id.size() > kMaxJobIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job's id has 1 to ", kMaxJobIdBytes, " characters, not ", job_id.size()));
  }
  const X509Ptr authority = ReadCertificate(credentials.authority);
  const X509Ptr certificate = ReadCertificate(credentials.certificate);
  const PrivateKeyPtr key = ReadPrivateKey(credentials.private_key);
  std::shared_ptr<SecureContext> made(new SecureContext);
  made->ssl_.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* const ssl = made->ssl_.get();
  ERR_clear_error();
  // Never less than all of them: without an authority OpenSSL would trust nobody, without verification anybody.
  if (ssl == nullptr || authority == nullptr || certificate == nullptr || key == nullptr ||
      credentials.token.size() != kKeyBytes ||
      SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
      SSL_CTX_use_certificate(ssl, certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(ssl, key.get()) != 1 || SSL_CTX_check_private_key(ssl) != 1 ||
      X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), authority.get()) != 1) {
    return absl::UnauthenticatedError(
        absl::StrCat("TLS does not take the credentials: ", TakeOpensslError()));
  }
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(ssl, 1);
  // Every connection shows its certificate: none resumes an earlier one.
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ssl, 0);
  // CAF moves its buffers between attempts to write.
  SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  made->job_id_ = job_id;
  made->proof_key_ = DeriveKey(credentials.token, "sluice control plane");
  return std::shared_ptr<const SecureContext>(std::move(made));
}

SecureContext::~SecureContext() { Wipe(proof_key_); }

SecureChannel::SecureChannel(std::shared_ptr<const SecureContext> context, Side side, int fd)
    : context_(std::move(context)), side_(side), ssl_(SSL_new(context_->ssl())) {
  SSL_set_fd(ssl_.get(), fd);
  if (side == Side::kClient) {
    SSL_set_connect_state(ssl_.get());
  } else {
    SSL_set_accept_state(ssl_.get());
  }
}

SecureChannel::~SecureChannel() = default;

absl::Status SecureChannel::Failed(int result, const char* doing) const {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_SSL) {
    const bool cut = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    const std::string reason = TakeOpensslError();
    if (cut) {
      return absl::UnavailableError(absl::StrCat(doing, ": the other side closed the connection"));
    }
    return absl::UnauthenticatedError(absl::StrCat(doing, ": ", reason));
  }
  const int system = errno;
  ERR_clear_error();
  return absl::UnavailableError(absl::StrCat(doing, ": ",
                                             error == SSL_ERROR_SYSCALL && system != 0
                                                 ? std::strerror(system)
                                                 : "the other side closed the connection"));
}

absl::StatusOr<short> SecureChannel::Advance() {
  if (state_ == State::kTls) {
    SLUICE_ASSIGN_OR_RETURN(const short events, AdvanceTls());
    if (events != 0) return events;
  }
  while (state_ != State::kOpen) {
    SLUICE_ASSIGN_OR_RETURN(const short events, Exchange());
    if (events != 0) return events;
  }
  return short{0};
}

absl::StatusOr<short> SecureChannel::AdvanceTls() {
  ERR_clear_error();  // SSL_get_error believes errors that other connections left on this thread
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    if (side_ == Side::kClient) {
      const std::string& id = context_->job_id();
      out_ = absl::StrCat(kControlProtocol, Proof(side_, id),
                          std::string(1, static_cast<char>(id.size())), id);
    }
    state_ = State::kHello;
    return short{0};
  }
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return short{POLLIN};
    case SSL_ERROR_WANT_WRITE:
      return short{POLLOUT};
    default:
      return Failed(result, "TLS");
  }
}

// One of the two messages, in either role.
absl::StatusOr<short> SecureChannel::Exchange() {
  const bool sends = (state_ == State::kHello) == (side_ == Side::kClient);
  if (sends) {
    SLUICE_ASSIGN_OR_RETURN(const short events,
                            Send(state_ == State::kHello ? State::kVerdict : State::kOpen));
    if (events == 0 && state_ == State::kOpen) SLUICE_RETURN_IF_ERROR(refusal_);
    return events;
  }
  const size_t head = state_ == State::kHello ? kHelloHead : kVerdictHead;
  SLUICE_ASSIGN_OR_RETURN(short events, Receive(head));
  if (events != 0) return events;
  const size_t id_bytes = static_cast<unsigned char>(in_[head - 1]);
  if (id_bytes > kMaxJobIdBytes) {
    return absl::UnauthenticatedError(
        absl::StrCat("proof of the token: a job's id of ", id_bytes, " characters"));
  }
  SLUICE_ASSIGN_OR_RETURN(events, Receive(head + id_bytes));
  if (events != 0) return events;
  if (state_ == State::kHello) {
    refusal_ = JudgeHello();
    state_ = State::kVerdict;
  } else {
    SLUICE_RETURN_IF_ERROR(JudgeVerdict());
    state_ = State::kOpen;
  }
  in_.clear();
  return short{0};
}

absl::StatusOr<short> SecureChannel::Send(State next) {
  while (sent_ < out_.size()) {
    ERR_clear_error();
    errno = 0;
    const int n = SSL_write(ssl_.get(), out_.data() + sent_, static_cast<int>(out_.size() - sent_));
    if (n > 0) {
      sent_ += static_cast<size_t>(n);
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), n);
    if (error == SSL_ERROR_WANT_WRITE) return short{POLLOUT};
    if (error == SSL_ERROR_WANT_READ) return short{POLLIN};
    return Failed(n, "proof of the token");
  }
  state_ = next;
  return short{0};
}

absl::StatusOr<short> SecureChannel::Receive(size_t size) {
  while (in_.size() < size) {
    char buffer[256];
    ERR_clear_error();
    errno = 0;
    const int n = SSL_read(ssl_.get(), buffer, static_cast<int>(size - in_.size()));
    if (n > 0) {
      in_.append(buffer, static_cast<size_t>(n));
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), n);
    if (error == SSL_ERROR_WANT_READ) return short{POLLIN};
    if (error == SSL_ERROR_WANT_WRITE) return short{POLLOUT};
    // A client whose certificate was refused learns it here: its own part of TLS 1.3 was over before.
    return Failed(n, side_ == Side::kClient ? "TLS" : "proof of the token");
  }
  return short{0};
}

// Whatever it says, the verdict is to be sent before the connection ends.
absl::Status SecureChannel::JudgeHello() {
  const std::string protocol = in_.substr(0, kProtocolBytes);
  const std::string proof = in_.substr(kProtocolBytes, kKeyBytes);
  const std::string job_id = in_.substr(kHelloHead);
  const std::string& own_id = context_->job_id();
  char verdict = kWelcome;
  absl::Status refusal;
  if (protocol != kControlProtocol) {
    verdict = kOtherProtocol;
    refusal = absl::FailedPreconditionError(absl::StrCat("it speaks ", Shown(protocol),
                                                         ", this process ", kControlProtocol,
                                                         ": the same sluice is needed everywhere"));
  } else if (!SameSecret(proof, Proof(Side::kClient, job_id))) {
    verdict = kNoProof;
    refusal = absl::UnauthenticatedError("it does not know the token of this job's credentials");
  } else if (job_id != own_id) {
    verdict = kOtherJob;
    refusal = absl::FailedPreconditionError(
        absl::StrCat("it is a process of job ", Shown(job_id), ", this is job ", Shown(own_id)));
  }
  out_ = absl::StrCat(
      std::string(1, verdict),
      verdict == kNoProof ? std::string(kKeyBytes, '\0') : Proof(Side::kServer, own_id),
      std::string(1, static_cast<char>(own_id.size())), own_id);
  sent_ = 0;
  return refusal;
}

absl::Status SecureChannel::JudgeVerdict() const {
  const std::string proof = in_.substr(1, kKeyBytes);
  const std::string job_id = in_.substr(kVerdictHead);
  switch (in_[0]) {
    case kWelcome:
      if (job_id == context_->job_id() && SameSecret(proof, Proof(Side::kServer, job_id))) {
        return absl::OkStatus();
      }
      return absl::UnauthenticatedError("the other side did not prove that it knows the token");
    case kOtherProtocol:
      return absl::FailedPreconditionError(absl::StrCat("the other side does not speak ",
                                                        kControlProtocol,
                                                        ": the same sluice is needed everywhere"));
    case kOtherJob:
      return absl::FailedPreconditionError(absl::StrCat("the other side is of job ", Shown(job_id),
                                                        ", this process of job ",
                                                        Shown(context_->job_id())));
    default:
      return absl::UnauthenticatedError(
          "refused: the token of this process's credentials is not that of the job. All processes "
          "need the same credentials");
  }
}

std::string SecureChannel::Proof(Side prover, const std::string& job_id) const {
  static constexpr char kLabel[] = "EXPORTER-sluice-control-plane";
  std::string connection(kKeyBytes, '\0');
  if (SSL_export_keying_material(ssl_.get(), reinterpret_cast<unsigned char*>(connection.data()),
                                 connection.size(), kLabel, sizeof(kLabel) - 1, nullptr, 0,
                                 0) != 1) {
    return "";  // equals no proof
  }
  return KeyedHash(
      context_->proof_key(),
      absl::StrCat(prover == Side::kClient ? "member" : "coordinator", connection, job_id));
}

SecureChannel::Outcome SecureChannel::OutcomeOf(int result, size_t* done) const {
  *done = result > 0 ? static_cast<size_t>(result) : 0;
  if (result > 0) return Outcome::kDone;
  const int error = SSL_get_error(ssl_.get(), result);
  const bool again = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  ERR_clear_error();
  return again ? Outcome::kAgain : Outcome::kClosed;
}

SecureChannel::Outcome SecureChannel::Read(void* buffer, size_t size, size_t* done) {
  ERR_clear_error();
  return OutcomeOf(SSL_read(ssl_.get(), buffer, static_cast<int>(size)), done);
}

SecureChannel::Outcome SecureChannel::Write(const void* bytes, size_t size, size_t* done) {
  ERR_clear_error();
  return OutcomeOf(SSL_write(ssl_.get(), bytes, static_cast<int>(size)), done);
}

size_t SecureChannel::pending() const { return static_cast<size_t>(SSL_pending(ssl_.get())); }

}  // namespace sluice
