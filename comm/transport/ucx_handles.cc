#include "comm/transport/ucx_handles.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/transport/ucx_status.h"

namespace sluice {
namespace {

struct UcpConfigDeleter {
  void operator()(ucp_config_t* config) const { ucp_config_release(config); }
};
using UcpConfigPtr = std::unique_ptr<ucp_config_t, UcpConfigDeleter>;

absl::StatusOr<UcpConfigPtr> ReadUcpConfig(const std::string& transports) {
  ucp_config_t* read = nullptr;
  SLUICE_RETURN_IF_ERROR(
      FromUcs(ucp_config_read(nullptr, nullptr, &read), "UCX cannot read its settings"));
  UcpConfigPtr config(read);
  SLUICE_RETURN_IF_ERROR(FromUcs(ucp_config_modify(config.get(), "TLS", transports.c_str()),
                                 absl::StrCat("UCX transports ", transports)));
  return config;
}

}  // namespace

absl::StatusOr<UcpContextPtr> CreateUcpContext(const std::string& transports) {
  SLUICE_ASSIGN_OR_RETURN(const UcpConfigPtr config, ReadUcpConfig(transports));
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_TAG | UCP_FEATURE_WAKEUP;
  ucp_context_h context = nullptr;
  const ucs_status_t status = ucp_init(&params, config.get(), &context);
  if (status != UCS_OK) {
    return absl::UnavailableError(absl::StrCat("UCX cannot start with the transports ", transports,
                                               ": ", ucs_status_string(status),
                                               "; `ucx_info -d` lists what this machine has"));
  }
  return UcpContextPtr(context);
}

absl::StatusOr<UcpWorkerPtr> CreateUcpWorker(ucp_context_h context) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucp_worker_h worker = nullptr;
  SLUICE_RETURN_IF_ERROR(
      FromUcs(ucp_worker_create(context, &params, &worker), "UCX cannot create a worker"));
  return UcpWorkerPtr(worker);
}

absl::StatusOr<std::string> UcpWorkerAddress(ucp_worker_h worker) {
  ucp_address_t* address = nullptr;
  size_t length = 0;
  SLUICE_RETURN_IF_ERROR(
      FromUcs(ucp_worker_get_address(worker, &address, &length), "UCX has no worker address"));
  std::string bytes(reinterpret_cast<const char*>(address), length);
  ucp_worker_release_address(worker, address);
  return bytes;
}

}  // namespace sluice
