#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "training/session/session.h"

namespace sluice {

/// All that a training loop must take up again when the ranks of its job change: what is added to it, in the same
/// order on all ranks. Of modules these are parameters and buffers, set in place; optimizers are saved as LibTorch does it.
///
///     Commit   copies everything into memory
///     Restore  sets everything back to the last Commit or Sync
///     Sync     gives all ranks what rank 0 has
///
/// Keep in it how far the loop has come; where data, schedules and random numbers follow from that, nothing else
/// is needed. What is added must outlive it.
/// \threadsafety the thread that joined
class State {
 public:
  explicit State(Session& session) : session_(session) {}
  State(const State&) = delete;

  void Add(const std::string& name, torch::nn::Module& module);
  void Add(const std::string& name, torch::optim::Optimizer& optimizer);
  void Add(const std::string& name, int64_t& number);
  /// In place: its values.
  void Add(const std::string& name, at::Tensor tensor);

  /// Costs a copy; what was done since the last one is done again after a loss.
  /// \error kInternal  wrapping what LibTorch threw
  absl::Status Commit();
  /// Without a Commit, nothing changes.
  absl::Status Restore();
  /// Commits what it got. \error as ProcessGroup's operations
  absl::Status Sync();

 private:
  struct Item {
    std::string name;
    std::string kind;
    std::function<void(torch::serialize::OutputArchive&)> save;
    std::function<void(torch::serialize::InputArchive&)> load;
  };

  absl::StatusOr<std::string> Save() const;
  absl::Status Load(const std::string& bytes);

  Session& session_;
  std::vector<Item> items_;
  std::string committed_;
};

/// Runs `fn` until it is through on all ranks, whatever becomes of some of them. Each time, all ranks begin with the state
/// of rank 0, which was there before.
///
///     Sync --> fn --> Barrier --> OK
///      ^        |  a rank is lost, or others want to join: operations return an error, and so does fn
///      +--------+  Restore, join the next generation
///
/// So `fn` goes on from what `state` says, asks the session for rank and size anew, and returns the first error that it
/// gets. Ranks that join later come here from main(): before it, no program does anything with other ranks but making
/// a DistributedOptimizer. Others are taken in between its steps.
///
/// The job must be elastic (world.min_size, `--min-np`); otherwise this runs `fn` once.
/// \return OK, or the error of `fn` or of the job that no generation can follow
absl::Status RunElastic(Session& session, State& state, const std::function<absl::Status()>& fn);

}  // namespace sluice
