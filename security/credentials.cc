#include "security/credentials.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "openssl/pem.h"
#include "openssl/x509v3.h"
#include "proto/credentials.pb.h"
#include "security/keyed_hash.h"
#include "security/openssl_handles.h"

namespace sluice {
namespace {

constexpr absl::Duration kClockDifference = absl::Hours(1);

// A certificate for `key` without a signature.
X509Ptr Unsigned(EVP_PKEY* key, const char* name, absl::Time now, absl::Duration validity) {
  X509Ptr certificate(X509_new());
  X509* const x509 = certificate.get();
  X509_set_version(x509, X509_VERSION_3);
  std::string serial = RandomBytes(16);
  serial[0] &= 0x7f;  // a positive number
  BIGNUM* const number =
      BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));
  BN_free(number);
  ASN1_TIME_set(X509_getm_notBefore(x509), absl::ToTimeT(now - kClockDifference));
  ASN1_TIME_set(X509_getm_notAfter(x509), absl::ToTimeT(now + validity));
  X509_set_pubkey(x509, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  return certificate;
}

void Extend(X509* certificate, X509* issuer, int extension, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, &context, extension, value);
  SLUICE_CHECK(made != nullptr && X509_add_ext(certificate, made, -1) == 1,
               "OpenSSL has the extensions of X.509");
  X509_EXTENSION_free(made);
}

void Sign(X509* certificate, X509* issuer, EVP_PKEY* issuer_key) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  SLUICE_CHECK(X509_sign(certificate, issuer_key, EVP_sha256()) > 0,
               "OpenSSL signs with ECDSA and SHA-256");
}

template <class Write>
std::string ToPem(Write write) {
  const BioPtr memory(BIO_new(BIO_s_secmem()));
  SLUICE_CHECK(write(memory.get()) == 1, "OpenSSL writes PEM");
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::string ToPem(X509* certificate) {
  return ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string ToPem(EVP_PKEY* key) {
  return ToPem([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string DateOf(const ASN1_TIME* time) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable date";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromTM(parts, absl::UTCTimeZone()),
                          absl::UTCTimeZone());
}

absl::Status CheckDates(const X509* certificate, const char* what, absl::Time now) {
  std::time_t at = absl::ToTimeT(now);
  const ASN1_TIME* const begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* const end = X509_get0_notAfter(certificate);
  if (X509_cmp_time(end, &at) <= 0) {
    return absl::UnauthenticatedError(
        absl::StrCat(what, " expired on ", DateOf(end),
                     ". New ones: orchestrator credentials DIR, on every host"));
  }
  if (X509_cmp_time(begin, &at) > 0) {
    return absl::UnauthenticatedError(absl::StrCat(what, " is not valid before ", DateOf(begin),
                                                   ": does this machine's clock go right?"));
  }
  return absl::OkStatus();
}

}  // namespace

Credentials::~Credentials() {
  Wipe(private_key);
  Wipe(token);
}

Credentials MakeCredentials(absl::Time now, absl::Duration validity) {
  const PrivateKeyPtr authority_key(EVP_EC_gen("P-256"));
  const PrivateKeyPtr key(EVP_EC_gen("P-256"));
  SLUICE_CHECK(authority_key != nullptr && key != nullptr, "OpenSSL has the curve P-256");

  const X509Ptr authority = Unsigned(authority_key.get(), "sluice authority", now, validity);
  Extend(authority.get(), authority.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  Extend(authority.get(), authority.get(), NID_key_usage, "critical,keyCertSign");
  Extend(authority.get(), authority.get(), NID_subject_key_identifier, "hash");
  Sign(authority.get(), authority.get(), authority_key.get());

  const X509Ptr certificate = Unsigned(key.get(), "sluice member", now, validity);
  Extend(certificate.get(), authority.get(), NID_basic_constraints, "critical,CA:FALSE");
  Extend(certificate.get(), authority.get(), NID_key_usage, "critical,digitalSignature");
  Extend(certificate.get(), authority.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  Extend(certificate.get(), authority.get(), NID_authority_key_identifier, "keyid");
  Sign(certificate.get(), authority.get(), authority_key.get());

  Credentials made;
  made.authority = ToPem(authority.get());
  made.certificate = ToPem(certificate.get());
  made.private_key = ToPem(key.get());
  made.token = RandomBytes(kKeyBytes);
  return made;
}

absl::Status CheckCredentials(const Credentials& credentials, absl::Time now) {
  const X509Ptr authority = ReadCertificate(credentials.authority);
  const X509Ptr certificate = ReadCertificate(credentials.certificate);
  const PrivateKeyPtr key = ReadPrivateKey(credentials.private_key);
  if (authority == nullptr) {
    return absl::UnauthenticatedError("the authority's certificate (ca.pem) is not PEM");
  }
  if (certificate == nullptr) {
    return absl::UnauthenticatedError("the certificate (cert.pem) is not PEM");
  }
  if (key == nullptr) {
    return absl::UnauthenticatedError(
        "the private key (key.pem) is not PEM, or asks for a passphrase");
  }
  if (credentials.token.size() != kKeyBytes) {
    return absl::UnauthenticatedError(
        absl::StrCat("the token has ", credentials.token.size(), " bytes instead of ", kKeyBytes));
  }
  SLUICE_RETURN_IF_ERROR(CheckDates(authority.get(), "the authority's certificate", now));
  SLUICE_RETURN_IF_ERROR(CheckDates(certificate.get(), "the certificate", now));
  const bool fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  const bool is_signed = X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  (void)TakeOpensslError();
  if (!fits) return absl::UnauthenticatedError("the private key is not that of the certificate");
  if (!is_signed) return absl::UnauthenticatedError("the authority did not sign the certificate");
  return absl::OkStatus();
}

std::string Serialize(const Credentials& credentials) {
  proto::Credentials message;
  message.set_authority(credentials.authority);
  message.set_certificate(credentials.certificate);
  message.set_private_key(credentials.private_key);
  message.set_token(credentials.token);
  std::string bytes = message.SerializeAsString();
  Wipe(*message.mutable_private_key());
  Wipe(*message.mutable_token());
  return bytes;
}

absl::StatusOr<Credentials> ParseCredentials(absl::string_view bytes) {
  if (bytes.size() > kMaxCredentialBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("credentials of more than ", kMaxCredentialBytes, " bytes"));
  }
  proto::Credentials message;
  const bool whole = message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  Credentials parsed;
  parsed.authority = std::move(*message.mutable_authority());
  parsed.certificate = std::move(*message.mutable_certificate());
  parsed.private_key = std::move(*message.mutable_private_key());
  parsed.token = std::move(*message.mutable_token());
  if (!whole) return absl::InvalidArgumentError("what was given as credentials is damaged");
  for (const auto& [what, text] : {std::pair("authority's certificate", &parsed.authority),
                                   std::pair("certificate", &parsed.certificate),
                                   std::pair("private key", &parsed.private_key)}) {
    if (text->empty() || text->size() > kMaxPemBytes) {
      return absl::InvalidArgumentError(absl::StrCat("credentials: the ", what, " has ",
                                                     text->size(), " bytes, expected 1 to ",
                                                     kMaxPemBytes));
    }
  }
  if (parsed.token.size() != kKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "credentials: the token has ", parsed.token.size(), " bytes, expected ", kKeyBytes));
  }
  return parsed;
}

}  // namespace sluice
