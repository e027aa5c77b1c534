#include "comm/nccl/communicator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/nccl/gpu_status.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kLeaveTimeout{1};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> Communicator::Create(const GpuLibrary& gpu,
                                                                   int world_size, Rank self,
                                                                   absl::string_view id,
                                                                   const Patience& patience) {
  ncclUniqueId unique_id;
  if (id.size() != sizeof(unique_id.internal)) {
    return absl::InvalidArgumentError(
        absl::StrCat("NCCL id of ", id.size(), " bytes, expected ", sizeof(unique_id.internal)));
  }
  std::copy(id.begin(), id.end(), unique_id.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  const std::string operation = absl::StrCat("ncclCommInitRankConfig of ", world_size, " ranks");
  const ncclResult_t result = gpu.nccl.CommInitRankConfig(&comm, world_size, unique_id,
                                                          static_cast<int>(self.value), &config);
  auto communicator = std::unique_ptr<Communicator>(new Communicator(gpu, comm));
  const absl::Status status = communicator->Settle(result, operation, patience);
  if (!status.ok()) {
    communicator->Abort();
    return status;
  }
  return communicator;
}

Communicator::~Communicator() {
  if (comm_ == nullptr) return;
  // Finalize is collective, so a peer that is gone must not hold this rank up.
  const absl::Status left = Settle(gpu_.nccl.CommFinalize(comm_), "ncclCommFinalize",
                                   {PollClock::now() + kLeaveTimeout, NoInterruption});
  if (left.ok()) {
    gpu_.nccl.CommDestroy(std::exchange(comm_, nullptr));
  } else {
    Abort();
  }
}

absl::Status Communicator::AllReduceMean(const DeviceFloats& data, int64_t elements,
                                         const Stream& stream, const Patience& patience) {
  SLUICE_CHECK(comm_ != nullptr, "no collective after Abort");
  SLUICE_CHECK(elements <= data.size(), "the vector is there");
  return Settle(gpu_.nccl.AllReduce(data.data(), data.data(), elements, ncclFloat32, ncclAvg, comm_,
                                    stream.get()),
                "ncclAllReduce", patience);
}

absl::Status Communicator::Health() const {
  SLUICE_CHECK(comm_ != nullptr, "no question after Abort");
  return Settled("in flight").status();
}

void Communicator::Abort() {
  if (comm_ != nullptr) gpu_.nccl.CommAbort(std::exchange(comm_, nullptr));
}

absl::StatusOr<bool> Communicator::Settled(absl::string_view operation) const {
  ncclResult_t state = ncclSuccess;
  ncclResult_t result = gpu_.nccl.CommGetAsyncError(comm_, &state);
  if (result == ncclSuccess) result = state;
  if (result == ncclInProgress) return false;
  if (result == ncclSuccess) return true;
  return FromNccl(gpu_, result, comm_, operation);
}

absl::Status Communicator::Settle(ncclResult_t result, absl::string_view operation,
                                  const Patience& patience) {
  if (result == ncclSuccess) return absl::OkStatus();
  if (result != ncclInProgress) return FromNccl(gpu_, result, comm_, operation);
  const absl::Status status = PollUntil([&] { return Settled(operation); }, patience);
  // NCCL's errors name the operation already; the clock and an interruption do not know it.
  if (absl::IsDeadlineExceeded(status) || absl::IsCancelled(status)) {
    return Annotate(status, operation);
  }
  return status;
}

}  // namespace sluice
