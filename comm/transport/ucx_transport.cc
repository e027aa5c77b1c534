#include "comm/transport/ucx_transport.h"

#include <cstdlib>
#include <utility>

#include "base/status_macros.h"
#include "comm/transport/listener_guard.h"
#include "comm/transport/peer_address.h"
#include "comm/transport/ucx_environment.h"
#include "comm/transport/ucx_handles.h"
#include "comm/transport/ucx_mesh.h"

namespace sluice {
namespace {

constexpr char kDefaultTransports[] = "posix,cma,tcp,self";

class Seed : public UcxEndpointSeed {
 public:
  Seed(UcpEngine engine, ListenerGuard guard, std::string address)
      : engine_(std::move(engine)), guard_(std::move(guard)), address_(std::move(address)) {}

  const std::string& address() const override { return address_; }

  absl::StatusOr<std::unique_ptr<Transport>> Connect(Rank self,
                                                     const std::vector<std::string>& addresses,
                                                     const std::string& tag_key) &&
      override {
    return UcxMesh::Connect(std::move(engine_), std::move(guard_), self, addresses, tag_key);
  }

 private:
  UcpEngine engine_;
  ListenerGuard guard_;
  const std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<UcxEndpointSeed>> UcxEndpointSeed::Create(const Options& options) {
  const char* by_user = std::getenv("UCX_TLS");
  const std::string transports =
      by_user != nullptr ? by_user
                         : (options.transports.empty() ? kDefaultTransports : options.transports);
  PrepareUcxEnvironment(transports);
  UcpEngine engine;
  SLUICE_ASSIGN_OR_RETURN(engine.context, CreateUcpContext(transports));
  const std::vector<int> others = ListenerGuard::ListeningSockets();
  SLUICE_ASSIGN_OR_RETURN(engine.worker, CreateUcpWorker(engine.context.get()));
  SLUICE_ASSIGN_OR_RETURN(const std::string worker, UcpWorkerAddress(engine.worker.get()));
  ListenerGuard guard(others, worker);
  std::string address = FormatPeerAddress({guard.Sources(), worker});
  return std::make_unique<Seed>(std::move(engine), std::move(guard), std::move(address));
}

std::string UcxVersion() { return ucp_get_version_string(); }

}  // namespace sluice
