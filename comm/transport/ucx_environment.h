#pragma once

namespace sluice {

/// Sets the UCX settings that Sluice relies on and that UCX reads from the environment alone; those
/// that the user has set stay (docs/transport.md has the list). Also gives SIGSEGV and the like
/// back to the process, unless the user has set UCX_HANDLE_ERRORS: UCX takes them over when it is
/// loaded.
///
/// Does its work once per process, before the first UCX context.
/// \threadsafety any thread, while no other thread reads or writes the environment by itself
void PrepareUcxEnvironment();

}  // namespace sluice
