#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "training/trainer.h"

namespace sluice {

/// Gradients in plain memory. Records what Ready and Forget were told.
class MemorySink : public GradientSink {
 public:
  explicit MemorySink(const std::vector<ParameterInfo>& parameters);

  absl::Span<float> gradient(int index) override { return absl::MakeSpan(gradients_[index]); }
  /// Keeps a copy of the gradient as it is now.
  void Ready(int index) override;
  absl::Status Forget(absl::Span<const ElementRun> runs) override;

  void BeginStep();
  /// Indices in the order of this step's calls of Ready.
  const std::vector<int>& ready() const { return ready_; }
  const std::vector<ElementRun>& forgotten() const { return forgotten_; }
  const std::vector<std::vector<float>>& gradients() const { return gradients_; }
  const std::vector<std::vector<float>>& at_ready() const { return at_ready_; }

 private:
  std::vector<std::vector<float>> gradients_;
  std::vector<std::vector<float>> at_ready_;
  std::vector<int> ready_;
  std::vector<ElementRun> forgotten_;
};

/// `world_size` trainers in this process; a step averages their gradients in rank order.
class MemoryWorld {
 public:
  using TrainerMaker = std::function<absl::StatusOr<std::unique_ptr<Trainer>>(
      const proto::JobConfig& job, Rank rank, int world_size)>;

  static absl::StatusOr<std::unique_ptr<MemoryWorld>> Create(
      const proto::JobConfig& job, int world_size, const TrainerMaker& make = Trainer::Create);

  /// One whole step on every rank. \return the sum of what ForwardBackward returned
  absl::StatusOr<double> RunStep(Step step);

  int size() const { return static_cast<int>(trainers_.size()); }
  Trainer& trainer(int rank) { return *trainers_[rank]; }
  MemorySink& sink(int rank) { return *sinks_[rank]; }

 private:
  // Trainers go first: their gradients live in the sinks.
  std::vector<std::unique_ptr<MemorySink>> sinks_;
  std::vector<std::unique_ptr<Trainer>> trainers_;
};

/// The defaults of job.proto, but for a synthetic data set of 512 + 43 samples, a cnn, a global
/// batch of 16, 50 steps and a constant learning rate of 0.02.
proto::JobConfig SyntheticJob();

/// An empty folder of this name in the test's temporary folder.
std::string FreshDirectory(const std::string& name);

}  // namespace sluice
