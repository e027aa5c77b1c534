#include "security/credential_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "security/keyed_hash.h"

namespace sluice {
namespace {

constexpr char kAuthority[] = "ca.pem";
constexpr char kCertificate[] = "cert.pem";
constexpr char kPrivateKey[] = "key.pem";
constexpr char kToken[] = "token";

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status System(const std::string& what) {
  const std::string message = absl::StrCat(what, ": ", std::strerror(errno));
  if (errno == ENOENT) return absl::NotFoundError(message);
  return absl::PermissionDeniedError(message);
}

// At most `most` bytes, to the end of the file.
absl::StatusOr<std::string> ReadAll(int fd, size_t most, const std::string& name) {
  std::string bytes(most + 1, '\0');
  size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t n = read(fd, bytes.data() + used, bytes.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return System(name);
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  if (used > most) {
    Wipe(bytes);
    return absl::InvalidArgumentError(absl::StrCat(name, " is longer than ", most, " bytes"));
  }
  bytes.resize(used);
  return bytes;
}

absl::StatusOr<std::string> ReadFile(const std::string& directory, const char* name, bool secret) {
  const std::string path = absl::StrCat(directory, "/", name);
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (file.get() < 0 || fstat(file.get(), &status) != 0) return System(path);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a file"));
  }
  if (secret && (status.st_mode & 077) != 0) {
    return absl::UnauthenticatedError(
        absl::StrFormat("SL1080 %s can be used by others (mode %03o): chmod 600 %s, and make new "
                        "credentials if somebody may have read it",
                        path, status.st_mode & 0777, path));
  }
  return ReadAll(file.get(), kMaxPemBytes, path);
}

absl::Status WriteFile(const std::string& directory, const char* name, const std::string& text) {
  const std::string path = absl::StrCat(directory, "/", name);
  const Descriptor file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (file.get() < 0) return System(path);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fsync(file.get()) != 0) {
    return System(path);
  }
  return absl::OkStatus();
}

absl::StatusOr<Credentials> ReadFolder(const std::string& directory) {
  Credentials credentials;
  SLUICE_ASSIGN_OR_RETURN(credentials.authority, ReadFile(directory, kAuthority, false));
  SLUICE_ASSIGN_OR_RETURN(credentials.certificate, ReadFile(directory, kCertificate, false));
  SLUICE_ASSIGN_OR_RETURN(credentials.private_key, ReadFile(directory, kPrivateKey, true));
  SLUICE_ASSIGN_OR_RETURN(std::string digits, ReadFile(directory, kToken, true));
  const absl::string_view stripped = absl::StripAsciiWhitespace(digits);
  bool hexadecimal = stripped.size() == 2 * kKeyBytes;
  for (char digit : stripped) hexadecimal = hexadecimal && absl::ascii_isxdigit(digit);
  if (hexadecimal) credentials.token = absl::HexStringToBytes(stripped);
  Wipe(digits);
  if (!hexadecimal) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, "/", kToken, ": expected ", 2 * kKeyBytes, " hexadecimal digits"));
  }
  return credentials;
}

absl::StatusOr<Credentials> ReadStandardInput() {
  SLUICE_ASSIGN_OR_RETURN(std::string bytes, ReadAll(STDIN_FILENO, kMaxCredentialBytes,
                                                     "standard input (--credentials=-)"));
  if (bytes.empty()) {
    return absl::InvalidArgumentError(
        "--credentials=-: nothing came over standard input; a launcher writes them there. By hand, "
        "give a folder: orchestrator credentials DIR makes one");
  }
  auto credentials = ParseCredentials(bytes);
  Wipe(bytes);
  return credentials;
}

}  // namespace

absl::Status WriteCredentials(const std::string& directory, const Credentials& credentials) {
  if (mkdir(directory.c_str(), 0700) != 0) {
    if (errno != EEXIST) return System(directory);
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " exists: credentials get a folder of their own"));
  }
  SLUICE_RETURN_IF_ERROR(WriteFile(directory, kPrivateKey, credentials.private_key));
  std::string digits = absl::StrCat(absl::BytesToHexString(credentials.token), "\n");
  const absl::Status status = WriteFile(directory, kToken, digits);
  Wipe(digits);
  SLUICE_RETURN_IF_ERROR(status);
  SLUICE_RETURN_IF_ERROR(WriteFile(directory, kAuthority, credentials.authority));
  return WriteFile(directory, kCertificate, credentials.certificate);
}

absl::StatusOr<Credentials> LoadCredentials(const std::string& where, absl::Time now) {
  if (where.empty()) {
    return absl::InvalidArgumentError(
        "no credentials: give --credentials DIR, the same on every host of the job; orchestrator "
        "credentials DIR makes one");
  }
  SLUICE_ASSIGN_OR_RETURN(Credentials credentials,
                          where == "-" ? ReadStandardInput() : ReadFolder(where));
  SLUICE_RETURN_IF_ERROR_AT(
      CheckCredentials(credentials, now),
      where == "-" ? "SL1080 credentials" : absl::StrCat("SL1080 credentials in ", where));
  return credentials;
}

}  // namespace sluice
