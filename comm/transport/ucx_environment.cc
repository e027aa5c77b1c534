#include "comm/transport/ucx_environment.h"

#include <csignal>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ucs/config/global_opts.h"
#include "ucs/debug/debug.h"

namespace sluice {
namespace {

// Whether the list of `transports` lets UCX use `name`.
bool Allows(absl::string_view transports, absl::string_view name) {
  if (absl::StartsWith(transports, "^")) return true;  // all but those named
  const std::vector<absl::string_view> listed = absl::StrSplit(transports, ',');
  return absl::c_any_of(listed, [&](absl::string_view transport) {
    transport = transport.substr(0, transport.find(':'));
    const bool shared_memory = transport == "shm" || transport == "sm";
    return transport == name || transport == "all" || (shared_memory && name != "tcp");
  });
}

// UCX warns of messages that nobody took, each time that a mesh with some is destroyed: an everyday
// thing here, where a job can end while a window is on its way. What fails comes back as a status.
void QuietUcx() {
  if (std::getenv("UCX_LOG_LEVEL") != nullptr) return;
  (void)ucs_global_opts_set_value("LOG_LEVEL", "error");
}

void GiveSignalsBack() {
  if (std::getenv("UCX_HANDLE_ERRORS") != nullptr) return;
  for (int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE}) ucs_debug_disable_signal(signal);
}

}  // namespace

void PrepareUcxEnvironment(absl::string_view transports) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  static std::once_flag once;
  std::call_once(once, [] {
    GiveSignalsBack();
    QuietUcx();
  });
  // How soon the death of a peer over shared memory is noticed; UCX's own value is 20 s.
  setenv("UCX_KEEPALIVE_INTERVAL", "100ms", /*overwrite=*/0);
  // Without these UCX refuses shared memory to endpoints that report failures.
  if (Allows(transports, "posix")) setenv("UCX_POSIX_ERROR_HANDLING", "y", /*overwrite=*/0);
  if (Allows(transports, "sysv")) setenv("UCX_SYSV_ERROR_HANDLING", "y", /*overwrite=*/0);
  // Events one by one: of several fetched at once, the first can close the connection of the
  // second, and then UCX 1.13 ends the process with a failed assertion (conn_state !=
  // UCT_TCP_EP_CONN_STATE_CLOSED).
  if (Allows(transports, "tcp")) setenv("UCX_TCP_MAX_POLL", "1", /*overwrite=*/0);
  // Queue and buffer sizes at which large messages were fastest (docs/transport.md).
  if (Allows(transports, "posix")) setenv("UCX_POSIX_FIFO_SIZE", "128", /*overwrite=*/0);
  if (Allows(transports, "tcp")) setenv("UCX_TCP_RX_SEG_SIZE", "256k", /*overwrite=*/0);
  // No rendezvous: its control messages would queue behind the data on the same connection, and
  // between several peers a slow link then idles for a third of the time (docs/transport.md).
  if (Allows(transports, "tcp")) setenv("UCX_RNDV_THRESH", "inf", /*overwrite=*/0);
}

}  // namespace sluice
