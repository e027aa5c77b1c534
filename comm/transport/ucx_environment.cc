#include "comm/transport/ucx_environment.h"

#include <csignal>
#include <cstdlib>
#include <mutex>

#include "ucs/debug/debug.h"

namespace sluice {
namespace {

constexpr const char* kSettings[][2] = {
    // Without these UCX refuses shared memory to endpoints that report failures.
    {"UCX_POSIX_ERROR_HANDLING", "y"},
    {"UCX_SYSV_ERROR_HANDLING", "y"},
    // How soon the death of a peer over shared memory is noticed; UCX's own value is 20 s.
    {"UCX_KEEPALIVE_INTERVAL", "100ms"},
    // For what the process starts; in this one the handlers are in place already.
    {"UCX_HANDLE_ERRORS", "none"},
};

}  // namespace

void PrepareUcxEnvironment() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (std::getenv("UCX_HANDLE_ERRORS") == nullptr) {
      for (int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE}) ucs_debug_disable_signal(signal);
    }
    for (const auto& [name, value] : kSettings) setenv(name, value, /*overwrite=*/0);
  });
}

}  // namespace sluice
