// Trainers and reducers of several ranks in this process, stopped and resumed from a checkpoint.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/reducer/reducer.h"
#include "comm/transport/inproc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/checkpoint.h"
#include "training/checkpoint_parts.h"
#include "training/trainer.h"

namespace sluice {
namespace {

constexpr int64_t kSaved = 7;
constexpr int64_t kEnd = 14;

class ReducerSink : public GradientSink {
 public:
  explicit ReducerSink(Reducer& reducer) : reducer_(reducer) {}
  absl::Span<float> gradient(int index) override { return reducer_.gradient(index); }
  void Ready(int index) override { reducer_.Ready(index); }

 private:
  Reducer& reducer_;
};

BucketLayout LayoutOf(const Trainer& trainer, int world_size) {
  std::vector<TensorInfo> tensors;
  for (const ParameterInfo& parameter : trainer.parameters()) {
    int64_t elements = 1;
    for (int64_t extent : parameter.shape) elements *= extent;
    tensors.push_back(
        {parameter.name, elements, parameter.shape.size() < 2 ? 1 : parameter.shape[0]});
  }
  return *BucketLayout::Create(std::move(tensors), 1 << 19, world_size);
}

// Quantised, sparse, low-rank and raw tensors, by turns.
CodecPlan MixedPlan(const BucketLayout& layout) {
  CodecPlan plan{1, Step(0), std::vector<CodecConfig>(layout.tensors().size())};
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    switch (t % 5) {
      case 1:
        plan.codecs[t] = {CodecKind::kMaxMin, 4, 512, true};
        break;
      case 3:
        plan.codecs[t] = {CodecKind::kLowRank, 32, 0, false, 0, false, 2};
        break;
      case 4:
        plan.codecs[t] = {CodecKind::kTopK, 32, 0, false, 20000};
        break;
      default:
        break;
    }
  }
  return plan;
}

struct Ended {
  std::vector<std::string> trainers;  // states at the end, by rank
  std::vector<std::string> reducers;
  std::vector<double> losses;  // of rank 0
};

// Steps [first, last) of a job on `ranks` ranks, from the checkpoint at `from` unless that is empty;
// `save` gets every rank's trainer and reducer state at the end.
Ended Train(const proto::JobConfig& job, int ranks, int64_t first, int64_t last,
            const std::string& from,
            const std::function<void(Rank, Trainer&, const std::string&)>& save) {
  Ended run;
  run.trainers.resize(ranks);
  run.reducers.resize(ranks);
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (int r = 0; r < ranks; ++r) trainers.push_back(*Trainer::Create(job, Rank(r), ranks));
  auto transports = CreateInprocTransports(ranks + 1);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      Trainer& trainer = *trainers[r];
      const BucketLayout layout = LayoutOf(trainer, ranks);
      Reducer::Options options;
      options.world_size = ranks;
      options.seed = 3;
      options.window_steps = 5;
      options.window_decay = 0.9;
      options.first_step = Step(first);
      options.initial_plan = MixedPlan(layout);
      auto reducer = Reducer::Create(options, layout, [&] { return std::move(transports[r]); });
      ASSERT_TRUE(reducer.ok()) << reducer.status();
      if (!from.empty()) {
        // As a cluster does: one rank reads the checkpoint, the others get it from that one.
        std::string state;
        if (r == 0) {
          ASSERT_EQ(*trainer.RestoreCheckpoint(from), Step(first));
          state = *trainer.SaveState(Step(first));
        }
        std::vector<int> others;
        for (int o = 1; o < ranks; ++o) others.push_back(o);
        ASSERT_TRUE((*reducer)->Transfer(Rank(0), others, state).ok());
        if (r != 0) {
          ASSERT_EQ(*trainer.LoadState(state), Step(first));
        }
        ASSERT_TRUE(trainer.RestoreBuffers(from).ok());
        const auto own = ReducerStateFor(from, *ReadManifest(from), Rank(r), ranks);
        ASSERT_TRUE(own.ok()) << own.status();
        const absl::Status loaded = (*reducer)->LoadState(own->bytes, /*decided_window=*/0);
        ASSERT_TRUE(loaded.ok()) << loaded;
      }
      ReducerSink sink(**reducer);
      trainer.Attach(sink);
      for (Step step(first); step < Step(last); step = step + 1) {
        (*reducer)->BeginStep(step);
        const auto loss = trainer.ForwardBackward(step);
        ASSERT_TRUE(loss.ok()) << loss.status();
        if (r == 0) run.losses.push_back(*loss);
        const auto stats = (*reducer)->Finish();
        ASSERT_TRUE(stats.ok()) << stats.status();
        ASSERT_TRUE(trainer.ApplyGradients(step).ok());
      }
      run.trainers[r] = *trainer.SaveState(Step(last));
      run.reducers[r] = *(*reducer)->SaveState();
      if (save) save(Rank(r), trainer, run.reducers[r]);
      float one = 1;  // all are through
      ASSERT_TRUE((*reducer)->AllReduceMean(absl::MakeSpan(&one, 1)).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  return run;
}

// Trains to kSaved on `ranks` ranks. \return the checkpoint's path
std::string SaveHalfWay(const proto::JobConfig& job, int ranks, const std::string& name) {
  const std::string root = FreshDirectory(name);
  std::vector<std::vector<proto::CheckpointFile>> parts(ranks);
  Train(job, ranks, 0, kSaved, "", [&](Rank rank, Trainer& trainer, const std::string& reducer) {
    auto blobs = trainer.CheckpointFiles(Step(kSaved));
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    blobs->push_back({ReducerFileName(rank), reducer});
    auto part = WritePart(root, Step(kSaved), *blobs);
    ASSERT_TRUE(part.ok()) << part.status();
    parts[rank.value] = *std::move(part);
  });
  std::vector<proto::CheckpointFile> files;
  for (const auto& part : parts) files.insert(files.end(), part.begin(), part.end());
  proto::CheckpointManifest manifest;
  manifest.set_step(kSaved);
  manifest.set_world_size(ranks);
  const auto path = CommitCheckpoint(root, manifest, files, 1);
  EXPECT_TRUE(path.ok()) << path.status();
  return path.ok() ? *path : "";
}

class ResumeTest : public testing::TestWithParam<std::string> {
 protected:
  ResumeTest() {
    job_.mutable_optimizer()->set_kind(GetParam());
    job_.mutable_optimizer()->set_learning_rate(GetParam() == "sgd" ? 0.02 : 1e-3);
    job_.mutable_schedule()->set_kind("cosine");
  }
  proto::JobConfig job_ = SyntheticJob();
};
INSTANTIATE_TEST_SUITE_P(Optimizers, ResumeTest, testing::Values("sgd", "adam", "adamw", "lamb"));

TEST_P(ResumeTest, EveryRankGoesOnWithTheBitsOfARunThatWasNeverStopped) {
  const Ended whole = Train(job_, 3, 0, kEnd, "", nullptr);
  const std::string path = SaveHalfWay(job_, 3, "resume");
  const Ended resumed = Train(job_, 3, kSaved, kEnd, path, nullptr);
  EXPECT_EQ(resumed.losses, std::vector<double>(whole.losses.begin() + kSaved, whole.losses.end()));
  for (int r = 0; r < 3; ++r) {
    EXPECT_TRUE(resumed.trainers[r] == whole.trainers[r]) << "trainer of rank " << r;
    EXPECT_TRUE(resumed.reducers[r] == whole.reducers[r]) << "reducer of rank " << r;
  }
}

TEST_P(ResumeTest, AnotherWorldGoesOnWithEqualReplicas) {
  const std::string path = SaveHalfWay(job_, 3, "other_world");
  for (int ranks : {1, 2, 4}) {
    const Ended resumed = Train(job_, ranks, kSaved, kEnd, path, nullptr);
    for (int r = 1; r < ranks; ++r) {
      EXPECT_TRUE(resumed.trainers[r] == resumed.trainers[0]) << "rank " << r << " of " << ranks;
    }
  }
}

}  // namespace
}  // namespace sluice
