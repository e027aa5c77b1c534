#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "comm/nccl/device_memory.h"
#include "comm/nccl/library.h"
#include "comm/nccl/poll.h"

namespace sluice {

/// One rank's membership in an NCCL clique; of one generation.
///
///     Create --(1)--> idle --AllReduceMean--> launching --(2)--> idle ...
///       any --Abort, or a failed destruction--> gone
///
/// (1) All ranks have called Create with the same id. (2) NCCL has put its kernel into the stream.
/// NCCL does not block (ncclConfig_t.blocking = 0), so every wait can be interrupted.
///
/// \threadsafety the thread that creates it, with the rank's device current
class Communicator {
 public:
  /// \param id  of NewNcclId, the same on all ranks; used once
  /// \error kDeadlineExceeded  not all ranks came
  /// \error of NCCL, see FromNccl
  static absl::StatusOr<std::unique_ptr<Communicator>> Create(const GpuLibrary& gpu, int world_size,
                                                              Rank self, absl::string_view id,
                                                              const Patience& patience);

  /// Leaves: waits up to a second for the others, then aborts. \pre nothing is in flight
  ~Communicator();

  /// data[i] = mean over ranks, of the first `elements`; puts the work into `stream` and returns
  /// when it is there, so that what the caller adds next comes after it.
  /// \pre not aborted
  absl::Status AllReduceMean(const DeviceFloats& data, int64_t elements, const Stream& stream,
                             const Patience& patience);

  /// \error if NCCL found that something in flight went wrong
  absl::Status Health() const;

  /// Ends all that is in flight, with contents unspecified. The only call afterwards is Abort.
  void Abort();

 private:
  Communicator(const GpuLibrary& gpu, ncclComm_t comm) : gpu_(gpu), comm_(comm) {}
  absl::StatusOr<bool> Settled(absl::string_view operation) const;
  /// `result` is of `operation`, which may still be under way.
  absl::Status Settle(ncclResult_t result, absl::string_view operation, const Patience& patience);

  const GpuLibrary& gpu_;
  ncclComm_t comm_;  // null when gone
};

}  // namespace sluice
