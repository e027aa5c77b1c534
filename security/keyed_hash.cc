#include "security/keyed_hash.h"

#include "base/check.h"
#include "openssl/crypto.h"
#include "openssl/evp.h"
#include "openssl/hmac.h"
#include "openssl/kdf.h"
#include "openssl/rand.h"

namespace sluice {
namespace {

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

}  // namespace

std::string KeyedHash(absl::string_view key, absl::string_view text) {
  std::string hash(kKeyBytes, '\0');
  unsigned int size = 0;
  SLUICE_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text),
                    text.size(), Bytes(hash), &size) != nullptr &&
                   size == kKeyBytes,
               "OpenSSL has HMAC-SHA256");
  return hash;
}

std::string DeriveKey(absl::string_view secret, absl::string_view purpose) {
  std::string key(kKeyBytes, '\0');
  size_t size = kKeyBytes;
  EVP_PKEY_CTX* const context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr);
  const bool derived =
      context != nullptr && EVP_PKEY_derive_init(context) > 0 &&
      EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) > 0 &&
      EVP_PKEY_CTX_set1_hkdf_key(context, Bytes(secret), static_cast<int>(secret.size())) > 0 &&
      EVP_PKEY_CTX_add1_hkdf_info(context, Bytes(purpose), static_cast<int>(purpose.size())) > 0 &&
      EVP_PKEY_derive(context, Bytes(key), &size) > 0;
  EVP_PKEY_CTX_free(context);
  SLUICE_CHECK(derived && size == kKeyBytes, "OpenSSL has HKDF-SHA256");
  return key;
}

bool SameSecret(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  SLUICE_CHECK(RAND_bytes(Bytes(bytes), static_cast<int>(count)) == 1,
               "the operating system has random bytes");
  return bytes;
}

void Wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

}  // namespace sluice
