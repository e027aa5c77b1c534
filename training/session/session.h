#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "training/session/session_core.h"

namespace sluice {

/// Tensors with the names that messages, reports and policies have for them. Names differ, and are equal on all ranks.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

enum class ReduceOp { kMean, kSum };

/// Some ranks of the job, and what they do together. Every one of them calls the same operations in the same order; they
/// compare what they call first, so that a rank that calls something else, or the same with another shape, dtype, root
/// or name, ends in an error that names both, on every rank of the group.
///
/// All tensors are dense and on the CPU. Operations block, and may be called while gradients are on their way.
/// Cost, beside the operation's own (docs/collectives.md): one small message to every other rank and back.
///
/// \error kFailedPrecondition  SL2001 ranks disagree; they are still in step. Or this rank is not in the group, or the
///                             generation that the group was made in is over
/// \error kInvalidArgument     a tensor that cannot be used, before anything is sent
/// \error kDeadlineExceeded    SL2002 the ranks that did not call within communication.timeout_seconds
/// \error kUnavailable, kCancelled, kAborted  a rank is gone, or the job or generation ended. After this or a
///                             deadline nobody knows where the others are: every later operation fails
/// \threadsafety the thread that joined
class ProcessGroup {
 public:
  /// Its ranks in the job, ascending: rank i of the group is ranks()[i].
  const std::vector<int>& ranks() const { return ranks_; }
  int size() const { return static_cast<int>(ranks_.size()); }
  /// Of this process in the group; -1: it is not in it.
  int rank() const { return rank_; }

  /// Returns when all ranks have called it.
  absl::Status Barrier();

  /// In place: the sum, or mean, over ranks; the same bits on every rank. Tensors of another type than float32 are
  /// gathered and added up in the order of ranks, which is meant for small ones; a mean needs a floating type.
  absl::Status AllReduce(at::Tensor tensor, ReduceOp op = ReduceOp::kMean,
                         const std::string& name = "");

  /// The ranks' tensors, of one shape, one after the other along dimension 0; scalars become elements.
  absl::StatusOr<at::Tensor> AllGather(const at::Tensor& tensor, const std::string& name = "");

  /// In place: that of `root`, a rank in the group.
  absl::Status Broadcast(at::Tensor tensor, int root, const std::string& name = "");

 private:
  friend class Session;
  ProcessGroup(SessionCore& core, int number, std::vector<int> ranks);

  absl::Status Check() const;

  SessionCore& core_;
  const int number_;
  const int64_t generation_;
  const std::vector<int> ranks_;
  int rank_ = -1;
};

/// What a layer's gradient is sent as.
struct LayerCodec {
  std::string layer;
  std::string codec;  ///< "raw", "maxmin4/512", ... (docs/codecs.md)
};

/// The compression policy that gradients are sent with.
struct PolicyInForce {
  uint32_t version = 0;  ///< 0: raw, or not known before the first step
  std::vector<LayerCodec> layers;
};

/// This process as one rank of a job.
///
///     orchestrator run -np 4 -- ./my_trainer --epochs 3
///
///     auto session = sluice::Session::Join();
///     if (!session.ok()) return sluice::Complain(session.status());
///     ...
///     return (*session)->Leave(status);
///
/// Ranks, sizes and groups are those of the generation; they change in RunElastic alone.
/// \threadsafety the thread that joined
class Session {
 public:
  /// Waits until all ranks have joined. Once per process.
  /// \error kFailedPrecondition  this process was not started as part of a job: how to do that; or it has joined
  ///                             before, or its version or job differs from the coordinator's
  /// \error kDeadlineExceeded, kUnavailable, kUnauthenticated, kAborted  there is no coordinator, or it refuses
  static absl::StatusOr<std::unique_ptr<Session>> Join();

  /// Leaves the job if that was not done: as after Leave(OK), or with the first error of an operation that it could not
  /// go on after.
  ~Session();

  int rank() const { return core_->start().rank(); }
  int size() const { return core_->start().world_size(); }
  int local_rank() const;  ///< among the ranks on this host
  int local_size() const;  ///< ranks on this host
  int64_t generation() const { return core_->generation(); }

  /// This rank's part of [begin, end): the ranks' parts are one after the other, of nearly equal length.
  std::pair<int64_t, int64_t> Share(int64_t begin, int64_t end) const {
    const int64_t length = end - begin;
    return {begin + length * rank() / size(), begin + length * (rank() + 1) / size()};
  }

  // With all ranks: see ProcessGroup.
  absl::Status Barrier() { return world().Barrier(); }
  absl::Status AllReduce(at::Tensor tensor, ReduceOp op = ReduceOp::kMean,
                         const std::string& name = "") {
    return world().AllReduce(std::move(tensor), op, name);
  }
  absl::StatusOr<at::Tensor> AllGather(const at::Tensor& tensor, const std::string& name = "") {
    return world().AllGather(tensor, name);
  }
  absl::Status Broadcast(at::Tensor tensor, int root, const std::string& name = "") {
    return world().Broadcast(std::move(tensor), root, name);
  }

  /// A group of some ranks, for collectives of their own. All ranks of the job call this, in the same order and with the
  /// same ranks, also those that are not in it. It is of no use after its generation: make it anew there.
  /// \error kInvalidArgument  ranks that are none, or come twice; otherwise as ProcessGroup's operations
  absl::StatusOr<ProcessGroup> NewGroup(const std::vector<int>& ranks);

  /// Of the step that the optimizer did last.
  PolicyInForce policy() const;

  /// Ends this process's part in the job, to be called once nothing more is to be done with others. OK: waits until
  /// all ranks have left. Otherwise tells the coordinator, which ends the job with this error as its cause.
  /// \return what main() is to return
  int Leave(const absl::Status& outcome);

  /// For the library's own parts.
  SessionCore& core() { return *core_; }

 private:
  explicit Session(std::unique_ptr<SessionCore> core) : core_(std::move(core)) {}

  ProcessGroup world();

  std::unique_ptr<SessionCore> core_;
};

/// Gives all ranks the tensors that `root` has, in place. \error as ProcessGroup's operations; a difference of names,
/// shapes or types names the first tensor
absl::Status BroadcastParameters(Session& session, const NamedTensors& tensors, int root);

/// The same of a module's parameters and buffers. A template, so that this header needs no more of LibTorch than
/// tensors. \param module  a torch::nn::Module
template <class Module>
absl::Status BroadcastParameters(Session& session, const Module& module, int root) {
  NamedTensors tensors;
  for (const auto& item : module.named_parameters()) {
    tensors.emplace_back(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) tensors.emplace_back(item.key(), item.value());
  return BroadcastParameters(session, tensors, root);
}

/// Writes an error to standard error. \return what main() is to return
int Complain(const absl::Status& error);

/// `"fc.weight" float32 [10, 64]`, for messages.
std::string Describe(const std::string& name, const at::Tensor& tensor);

}  // namespace sluice
