#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "comm/nccl/fake_gpu.h"

namespace sluice {
namespace {

// One all-reduce, by its number in the clique.
struct Collective {
  std::vector<std::vector<float>> inputs;  // by rank
  int arrived = 0;
  int finished = 0;
};

// All communicators that were made with one id.
struct Clique {
  std::mutex mu;
  std::condition_variable changed;
  int joined = 0;
  bool someone_left = false;
  std::map<int64_t, Collective> collectives;
};

}  // namespace
}  // namespace sluice

/// What ncclComm_t points to.
struct ncclComm {
  int device = 0;
  int rank = 0;
  int ranks = 0;
  std::shared_ptr<sluice::Clique> clique;

  // The thread of the rank alone.
  int64_t collectives = 0;
  int looks_left = 0;            // until what was called is no more in progress
  std::function<void()> launch;  // then

  // Under clique->mu; the stream's thread holds it too.
  std::shared_ptr<bool> aborted = std::make_shared<bool>(false);
};

namespace sluice {
namespace {

constexpr int kLooks = 2;

thread_local std::string last_error;

ncclResult_t Fail(ncclResult_t result, std::string why) {
  last_error = std::move(why);
  return result;
}

// Returns from the enclosing function when the call is scripted to fail.
#define SLUICE_FAKE_CALL(name)                                                       \
  if (const int error = FakeGpu::Get().CountCall(name)) {                            \
    return Fail(static_cast<ncclResult_t>(error), std::string("scripted: ") + name); \
  }                                                                                  \
  static_cast<void>(0)

std::shared_ptr<Clique> CliqueOf(const ncclUniqueId& id) {
  static std::mutex mu;
  static auto* const cliques = new std::map<std::string, std::weak_ptr<Clique>>;
  const std::lock_guard<std::mutex> lock(mu);
  std::weak_ptr<Clique>& known = (*cliques)[std::string(id.internal, sizeof(id.internal))];
  std::shared_ptr<Clique> clique = known.lock();
  if (clique == nullptr) known = clique = std::make_shared<Clique>();
  return clique;
}

ncclResult_t GetVersion(int* version) {
  *version = FakeGpu::Get().nccl_version();
  return ncclSuccess;
}

const char* GetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "internal error";
  }
}

const char* GetLastError(ncclComm_t) { return last_error.c_str(); }

ncclResult_t GetUniqueId(ncclUniqueId* id) {
  SLUICE_FAKE_CALL("ncclGetUniqueId");
  static std::atomic<uint64_t> next{1};
  const uint64_t number = next++;
  std::memset(id->internal, 0, sizeof(id->internal));
  std::memcpy(id->internal, &number, sizeof(number));
  return ncclSuccess;
}

ncclResult_t CommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                ncclConfig_t* config) {
  SLUICE_FAKE_CALL("ncclCommInitRankConfig");
  if (config->blocking != 0) return Fail(ncclInvalidUsage, "the fake does not block");
  *comm = new ncclComm;
  (*comm)->device = FakeGpu::CurrentDevice();
  (*comm)->rank = rank;
  (*comm)->ranks = ranks;
  (*comm)->clique = CliqueOf(id);
  FakeGpu::Get().AddObjects(1);
  const std::lock_guard<std::mutex> lock((*comm)->clique->mu);
  ++(*comm)->clique->joined;
  return ncclInProgress;
}

// Something of this rank is in flight and will never get what it needs from one that left.
bool WaitsForOneThatLeft(const ncclComm& comm) {
  if (!comm.clique->someone_left) return false;
  for (const auto& [number, collective] : comm.clique->collectives) {
    if (!collective.inputs[comm.rank].empty() && collective.arrived < comm.ranks) return true;
  }
  return false;
}

ncclResult_t CommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  SLUICE_FAKE_CALL("ncclCommGetAsyncError");
  *state = FakeGpu::Get().AsyncError(comm->device);
  if (*state != ncclSuccess) {
    Fail(*state, "scripted: asynchronous error");
    return ncclSuccess;
  }
  {
    const std::lock_guard<std::mutex> lock(comm->clique->mu);
    if (comm->clique->joined < comm->ranks) {
      *state = ncclInProgress;
      return ncclSuccess;
    }
    if (WaitsForOneThatLeft(*comm)) {
      *state = Fail(ncclRemoteError, "connection closed by peer");
      return ncclSuccess;
    }
  }
  if (comm->looks_left > 0 && --comm->looks_left > 0) {
    *state = ncclInProgress;
  } else if (comm->launch != nullptr) {
    std::exchange(comm->launch, nullptr)();
  }
  return ncclSuccess;
}

// Runs on the stream's thread.
void FormMean(const std::shared_ptr<Clique>& clique, const std::shared_ptr<bool>& aborted,
              int64_t number, int rank, int ranks, float* data, size_t count) {
  std::unique_lock<std::mutex> lock(clique->mu);
  Collective& collective = clique->collectives[number];
  collective.inputs.resize(ranks);
  collective.inputs[rank].assign(data, data + count);
  ++collective.arrived;
  clique->changed.notify_all();
  clique->changed.wait(lock, [&] { return collective.arrived == ranks || *aborted; });
  if (collective.arrived < ranks) return;
  for (size_t i = 0; i < count; ++i) {
    float sum = 0;
    for (const std::vector<float>& input : collective.inputs) sum += input.at(i);
    data[i] = sum / static_cast<float>(ranks);
  }
  if (++collective.finished == ranks) clique->collectives.erase(number);
}

ncclResult_t AllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                       ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  SLUICE_FAKE_CALL("ncclAllReduce");
  if (send != receive || type != ncclFloat32 || op != ncclAvg || stream == nullptr) {
    return Fail(ncclInvalidArgument, "the fake knows in-place fp32 means alone");
  }
  if (!FakeGpu::Get().Holds(FakeGpu::Memory::kDevice, receive, count * sizeof(float))) {
    return Fail(ncclInvalidArgument, "not device memory");
  }
  {
    const std::lock_guard<std::mutex> lock(comm->clique->mu);
    if (comm->clique->joined < comm->ranks || comm->looks_left > 0) {
      return Fail(ncclInvalidUsage, "the communicator is still busy");
    }
  }
  const int64_t number = comm->collectives++;
  auto launch = [=, clique = comm->clique, aborted = comm->aborted, rank = comm->rank,
                 ranks = comm->ranks] {
    stream->Put([=] {
      FormMean(clique, aborted, number, rank, ranks, static_cast<float*>(receive), count);
    });
  };
  if (number > 0) {
    launch();
    return ncclSuccess;
  }
  // Connections are made at the first; only then does the kernel get into the stream.
  comm->launch = launch;
  comm->looks_left = kLooks;
  return ncclInProgress;
}

ncclResult_t CommFinalize(ncclComm_t comm) {
  SLUICE_FAKE_CALL("ncclCommFinalize");
  comm->looks_left = kLooks;
  return ncclInProgress;
}

ncclResult_t Leave(ncclComm_t comm) {
  {
    const std::lock_guard<std::mutex> lock(comm->clique->mu);
    comm->clique->someone_left = true;
    *comm->aborted = true;
    comm->clique->changed.notify_all();
  }
  delete comm;
  FakeGpu::Get().AddObjects(-1);
  return ncclSuccess;
}

ncclResult_t CommDestroy(ncclComm_t comm) { return Leave(comm); }

ncclResult_t CommAbort(ncclComm_t comm) { return Leave(comm); }

#undef SLUICE_FAKE_CALL

// The member of the table only checks that the type is right.
template <class F>
void* Erase(F NcclTable::*, F function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

void* FakeNcclSymbol(const std::string& name) {
  using Table = NcclTable;
  static const auto* const kSymbols = new std::map<std::string, void*>{
      {"ncclGetVersion", Erase(&Table::GetVersion, &GetVersion)},
      {"ncclGetErrorString", Erase(&Table::GetErrorString, &GetErrorString)},
      {"ncclGetLastError", Erase(&Table::GetLastError, &GetLastError)},
      {"ncclGetUniqueId", Erase(&Table::GetUniqueId, &GetUniqueId)},
      {"ncclCommInitRankConfig", Erase(&Table::CommInitRankConfig, &CommInitRankConfig)},
      {"ncclCommGetAsyncError", Erase(&Table::CommGetAsyncError, &CommGetAsyncError)},
      {"ncclCommFinalize", Erase(&Table::CommFinalize, &CommFinalize)},
      {"ncclCommDestroy", Erase(&Table::CommDestroy, &CommDestroy)},
      {"ncclCommAbort", Erase(&Table::CommAbort, &CommAbort)},
      {"ncclAllReduce", Erase(&Table::AllReduce, &AllReduce)},
  };
  const auto symbol = kSymbols->find(name);
  return symbol != kSymbols->end() ? symbol->second : nullptr;
}

}  // namespace sluice
