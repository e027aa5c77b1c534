#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "security/credentials.h"
#include "security/openssl_handles.h"

namespace sluice {

/// First bytes of every connection within TLS. Builds that cannot talk to each other have different ones.
inline constexpr char kControlProtocol[] = "sluice/1";
/// Longest job id.
inline constexpr size_t kMaxJobIdBytes = 64;

/// What all connections of one process share: its certificate, and the key of its proofs. Keeps no file and not
/// the token. \threadsafety any thread
class SecureContext {
 public:
  /// \error kUnauthenticated  OpenSSL does not take the credentials: its reason
  static absl::StatusOr<std::shared_ptr<const SecureContext>> Create(const Credentials& credentials,
                                                                     const std::string& job_id);
  ~SecureContext();

  SSL_CTX* ssl() const { return ssl_.get(); }
  const std::string& job_id() const { return job_id_; }
  const std::string& proof_key() const { return proof_key_; }

 private:
  SecureContext() = default;

  SslContextPtr ssl_;
  std::string job_id_;
  std::string proof_key_;
};

/// One side of a connection of the control plane: TLS 1.3 on a socket that does not block, then a proof in each
/// direction that the other knows the job's token. Nothing that the peer sends after that is looked at here.
///
///     client              server
///        | ---- TLS ---- |        both show a certificate that the job's authority signed
///        | ---- hello -> |        protocol (8 bytes), proof (32), length of the job's id (1), job's id
///        | <- verdict -- |        0 welcome, else why not (1 byte); proof (32); length (1), the server's job
///       open           open
///
/// A proof is an HMAC, under a key derived from the token, of the side, the job's id and a number that TLS gives
/// this connection alone (RFC 5705): it is worth nothing on another connection.
///
/// \threadsafety one thread at a time. The socket stays the caller's, and must outlive this.
class SecureChannel {
 public:
  enum class Side { kClient, kServer };
  enum class Outcome { kDone, kAgain, kClosed };

  SecureChannel(std::shared_ptr<const SecureContext> context, Side side, int fd);
  ~SecureChannel();

  /// Goes on with TLS and proofs. \return what to poll for (POLLIN or POLLOUT) before the next call; 0: open
  /// \error kUnauthenticated     no certificate of this job, or no proof of its token
  /// \error kFailedPrecondition  another protocol or job: both values
  /// \error kUnavailable         the connection ended
  absl::StatusOr<short> Advance();

  /// Once open. \param done  bytes moved, 0 unless kDone
  Outcome Read(void* buffer, size_t size, size_t* done);
  Outcome Write(const void* bytes, size_t size, size_t* done);
  /// Bytes received and not read yet, of which no poll tells.
  size_t pending() const;

 private:
  enum class State { kTls, kHello, kVerdict, kOpen };

  absl::StatusOr<short> AdvanceTls();
  absl::StatusOr<short> Exchange();
  absl::StatusOr<short> Send(State next);
  /// Reads until `in_` has `size` bytes.
  absl::StatusOr<short> Receive(size_t size);
  absl::Status JudgeHello();
  absl::Status JudgeVerdict() const;
  std::string Proof(Side prover, const std::string& job_id) const;
  absl::Status Failed(int result, const char* doing) const;
  Outcome OutcomeOf(int result, size_t* done) const;

  const std::shared_ptr<const SecureContext> context_;
  const Side side_;
  const SslPtr ssl_;
  State state_ = State::kTls;
  std::string in_, out_;
  size_t sent_ = 0;
  absl::Status refusal_;  // server: what it ends with once the verdict is sent
};

}  // namespace sluice
