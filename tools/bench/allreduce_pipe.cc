#include "tools/bench/allreduce_pipe.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

absl::Status Failed(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

absl::Status ReadBytes(int fd, char* to, size_t length) {
  for (size_t got = 0; got < length;) {
    const ssize_t n = recv(fd, to + got, length - got, 0);
    if (n == 0) return absl::UnavailableError("the other process has ended");
    if (n < 0 && errno != EINTR) return Failed("reading from the other process");
    if (n > 0) got += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::pair<AllReducePipe, AllReducePipe>> AllReducePipe::CreatePair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return Failed("socketpair");
  return std::make_pair(AllReducePipe(fds[0]), AllReducePipe(fds[1]));
}

AllReducePipe::~AllReducePipe() {
  if (fd_ >= 0) close(fd_);
}

absl::Status AllReducePipe::Write(absl::string_view text) {
  const auto length = static_cast<uint64_t>(text.size());
  std::string framed(reinterpret_cast<const char*>(&length), sizeof length);
  absl::StrAppend(&framed, text);
  for (size_t sent = 0; sent < framed.size();) {
    const ssize_t n = send(fd_, framed.data() + sent, framed.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR) return Failed("writing to the other process");
    if (n > 0) sent += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AllReducePipe::Read() {
  uint64_t length = 0;
  SLUICE_RETURN_IF_ERROR(ReadBytes(fd_, reinterpret_cast<char*>(&length), sizeof length));
  std::string text(length, '\0');
  SLUICE_RETURN_IF_ERROR(ReadBytes(fd_, text.data(), length));
  return text;
}

}  // namespace sluice
