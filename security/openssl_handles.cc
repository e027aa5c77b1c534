#include "security/openssl_handles.h"

#include "openssl/err.h"
#include "openssl/pem.h"

namespace sluice {
namespace {

BioPtr Reader(absl::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace

X509Ptr ReadCertificate(absl::string_view pem) {
  X509Ptr certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, &NoPassphrase, nullptr));
  ERR_clear_error();
  return certificate;
}

PrivateKeyPtr ReadPrivateKey(absl::string_view pem) {
  PrivateKeyPtr key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, &NoPassphrase, nullptr));
  ERR_clear_error();
  return key;
}

std::string TakeOpensslError() {
  const unsigned long oldest = ERR_get_error();
  ERR_clear_error();
  const char* reason = oldest == 0 ? nullptr : ERR_reason_error_string(oldest);
  return reason == nullptr ? "no reason given" : reason;
}

}  // namespace sluice
