#pragma once

#include "absl/strings/string_view.h"

namespace sluice {

/// Sets the UCX settings that Sluice relies on and that UCX reads from the environment alone; those
/// that the user has set stay (docs/transport.md has the list). Also gives SIGSEGV and the like
/// back to the process, unless the user has set UCX_HANDLE_ERRORS: UCX takes them over when it is
/// loaded.
///
/// \param transports  what UCX_TLS is or would be; settings of transports not in it are left alone,
///                    since UCX warns of settings that it does not use
/// \threadsafety any thread, while no other thread reads or writes the environment by itself
void PrepareUcxEnvironment(absl::string_view transports);

}  // namespace sluice
