#pragma once

#include <memory>
#include <string>
#include <type_traits>

#include "absl/status/statusor.h"
#include "ucp/api/ucp.h"

namespace sluice {

struct UcpContextDeleter {
  void operator()(ucp_context_h context) const { ucp_cleanup(context); }
};
using UcpContextPtr = std::unique_ptr<std::remove_pointer_t<ucp_context_h>, UcpContextDeleter>;

struct UcpWorkerDeleter {
  void operator()(ucp_worker_h worker) const { ucp_worker_destroy(worker); }
};
using UcpWorkerPtr = std::unique_ptr<std::remove_pointer_t<ucp_worker_h>, UcpWorkerDeleter>;

/// A worker and the context that it needs.
struct UcpEngine {
  UcpContextPtr context;  // destroyed after the worker
  UcpWorkerPtr worker;
};

/// A context for tagged messages whose workers can be slept on.
/// \param transports  as UCX_TLS
/// \error kUnavailable  with UCX's reason and the transports asked for
absl::StatusOr<UcpContextPtr> CreateUcpContext(const std::string& transports);

/// A worker that one thread at a time may use. \error see FromUcs()
absl::StatusOr<UcpWorkerPtr> CreateUcpWorker(ucp_context_h context);

/// The bytes by which other processes reach `worker`. \error see FromUcs()
absl::StatusOr<std::string> UcpWorkerAddress(ucp_worker_h worker);

}  // namespace sluice
