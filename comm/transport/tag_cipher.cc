#include "comm/transport/tag_cipher.h"

#include "base/check.h"
#include "openssl/evp.h"

namespace sluice {
namespace {

constexpr size_t kBlockBytes = 16;
constexpr uint8_t kRounds = 4;

evp_cipher_ctx_st* Aes(absl::string_view key) {
  if (key.empty()) return nullptr;
  SLUICE_CHECK(key.size() >= kBlockBytes, "a key of tags is long enough");
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  SLUICE_CHECK(
      context != nullptr &&
          EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr,
                             reinterpret_cast<const unsigned char*>(key.data()), nullptr) == 1,
      "OpenSSL has AES-128");
  return context;
}

}  // namespace

void TagCipher::Deleter::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

TagCipher::TagCipher(absl::string_view key) : aes_(Aes(key)) {}

TagCipher::~TagCipher() = default;

uint64_t TagCipher::Seal(uint64_t tag) const {
  if (aes_ == nullptr) return tag;
  auto left = static_cast<uint32_t>(tag >> 32);
  auto right = static_cast<uint32_t>(tag);
  for (uint8_t round = 0; round < kRounds; ++round) {
    unsigned char block[kBlockBytes] = {round};
    for (int i = 0; i < 4; ++i) block[4 + i] = static_cast<unsigned char>(right >> (8 * i));
    unsigned char sealed[2 * kBlockBytes];
    int size = 0;
    SLUICE_CHECK(EVP_EncryptUpdate(aes_.get(), sealed, &size, block, kBlockBytes) == 1 &&
                     size == kBlockBytes,
                 "AES takes a block");
    uint32_t mixed = 0;
    for (int i = 0; i < 4; ++i) mixed |= static_cast<uint32_t>(sealed[i]) << (8 * i);
    const uint32_t next = left ^ mixed;
    left = right;
    right = next;
  }
  return static_cast<uint64_t>(left) << 32 | right;
}

}  // namespace sluice
