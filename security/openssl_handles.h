#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "openssl/bio.h"
#include "openssl/evp.h"
#include "openssl/ssl.h"
#include "openssl/x509.h"

namespace sluice {

/// Frees whatever OpenSSL gave out.
struct OpensslDeleter {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};

using BioPtr = std::unique_ptr<BIO, OpensslDeleter>;
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, OpensslDeleter>;
using SslPtr = std::unique_ptr<SSL, OpensslDeleter>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpensslDeleter>;
using X509Ptr = std::unique_ptr<X509, OpensslDeleter>;

/// Null if `pem` holds none. Never asks for a passphrase.
X509Ptr ReadCertificate(absl::string_view pem);
PrivateKeyPtr ReadPrivateKey(absl::string_view pem);

/// The reason of the oldest error that OpenSSL has noted on this thread, or "no reason given"; forgets all of them.
std::string TakeOpensslError();

}  // namespace sluice
