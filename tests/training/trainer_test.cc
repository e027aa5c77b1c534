#include "training/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/checkpoint.h"
#include "training/checkpoint_parts.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Trainer, ParametersAreInBackwardOrder) {
  const auto trainer = *Trainer::Create(SyntheticJob(), Rank(0), 1);
  const auto& parameters = trainer->parameters();
  ASSERT_EQ(parameters.size(), 12u);
  EXPECT_EQ(parameters[0].name, "fc2.bias");
  EXPECT_EQ(parameters[1].name, "fc2.weight");
  EXPECT_THAT(parameters[1].shape, ElementsAre(10, 512));
  EXPECT_EQ(parameters[11].name, "conv1.weight");
  EXPECT_THAT(parameters[11].shape, ElementsAre(32, 1, 3, 3));
}

TEST(Trainer, EachGradientIsReadyOnceAndFinalThen) {
  for (const char* model : {"cnn", "resnet18"}) {
    proto::JobConfig job = SyntheticJob();
    job.mutable_model()->set_name(model);
    job.mutable_training()->set_global_batch(4);
    const auto world = *MemoryWorld::Create(job, 1);
    for (int step = 0; step < 2; ++step) {
      world->sink(0).BeginStep();
      ASSERT_TRUE(world->trainer(0).ForwardBackward(Step(step)).ok());
      std::vector<int> ready = world->sink(0).ready();
      std::sort(ready.begin(), ready.end());
      std::vector<int> all(world->trainer(0).parameters().size());
      std::iota(all.begin(), all.end(), 0);
      EXPECT_EQ(ready, all) << model;
      EXPECT_EQ(world->sink(0).at_ready(), world->sink(0).gradients()) << model;
    }
  }
}

TEST(Trainer, BackwardOverwritesWhatTheSinkHolds) {
  const auto clean = *MemoryWorld::Create(SyntheticJob(), 1);
  const auto used = *MemoryWorld::Create(SyntheticJob(), 1);
  for (size_t i = 0; i < used->trainer(0).parameters().size(); ++i) {
    const absl::Span<float> gradient = used->sink(0).gradient(static_cast<int>(i));
    std::fill(gradient.begin(), gradient.end(), 7.0f);
  }
  for (int step = 0; step < 2; ++step) {  // the second one finds the gradients of the first
    ASSERT_TRUE(clean->trainer(0).ForwardBackward(Step(step)).ok());
    ASSERT_TRUE(used->trainer(0).ForwardBackward(Step(step)).ok());
    EXPECT_EQ(clean->sink(0).gradients(), used->sink(0).gradients());
    clean->sink(0).BeginStep();
  }
}

TEST(Trainer, CnnLayersAreReadyInTheOrderOfParameters) {
  const auto world = *MemoryWorld::Create(SyntheticJob(), 1);
  ASSERT_TRUE(world->trainer(0).ForwardBackward(Step(0)).ok());
  // Every layer is a bias and a weight; which of the two is first is up to LibTorch.
  std::vector<int> layers;
  for (int index : world->sink(0).ready()) layers.push_back(index / 2);
  EXPECT_TRUE(std::is_sorted(layers.begin(), layers.end())) << testing::PrintToString(layers);
}

TEST(Trainer, LearnsWithEveryOptimizer) {
  for (const auto& [kind, rate] : std::vector<std::pair<std::string, double>>{
           {"sgd", 0.05}, {"adam", 1e-3}, {"adamw", 1e-3}, {"lamb", 0.02}}) {
    proto::JobConfig job = SyntheticJob();
    job.mutable_optimizer()->set_kind(kind);
    job.mutable_optimizer()->set_learning_rate(rate);
    const auto world = *MemoryWorld::Create(job, 1);
    double loss = 0;
    for (int64_t s = 0; s < job.training().steps(); ++s) loss = *world->RunStep(Step(s));
    EXPECT_LT(loss, 0.2) << kind;
    const auto sums = world->trainer(0).EvaluateShard();
    ASSERT_TRUE(sums.ok()) << sums.status();
    EXPECT_EQ(sums->predictions(), 43);
    EXPECT_GT(sums->correct(), 35) << kind;  // chance is 4
  }
}

TEST(Trainer, ShardsOfTheTestSetAddUpToTheWholeSet) {
  const proto::JobConfig job = SyntheticJob();
  const proto::Evaluation whole = *(*Trainer::Create(job, Rank(0), 1))->EvaluateShard();
  proto::Evaluation sum;
  for (int r = 0; r < 4; ++r) {
    const proto::Evaluation part = *(*Trainer::Create(job, Rank(r), 4))->EvaluateShard();
    EXPECT_GE(part.predictions(), 10);
    sum.set_predictions(sum.predictions() + part.predictions());
    sum.set_correct(sum.correct() + part.correct());
    sum.set_loss_sum(sum.loss_sum() + part.loss_sum());
  }
  EXPECT_EQ(sum.predictions(), whole.predictions());
  EXPECT_EQ(sum.correct(), whole.correct());
  EXPECT_NEAR(sum.loss_sum(), whole.loss_sum(), 1e-4 * whole.loss_sum());
}

TEST(Trainer, EvaluationDoesNotChangeTraining) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("resnet18");
  job.mutable_training()->set_global_batch(4);
  job.mutable_data()->set_prefetch_batches(0);
  const auto evaluating = *MemoryWorld::Create(job, 1);
  const auto plain = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 2; ++s) {
    EXPECT_EQ(*evaluating->RunStep(Step(s)), *plain->RunStep(Step(s)));
    ASSERT_TRUE(evaluating->trainer(0).EvaluateShard().ok());
  }
  EXPECT_EQ(evaluating->trainer(0).ParameterChecksum(), plain->trainer(0).ParameterChecksum());
}

TEST(Trainer, ChecksumChangesWithAnyParameterAndOnlyThen) {
  const auto world = *MemoryWorld::Create(SyntheticJob(), 1);
  Trainer& trainer = world->trainer(0);
  const uint64_t before = trainer.ParameterChecksum();
  EXPECT_EQ(trainer.ParameterChecksum(), before);
  world->sink(0).BeginStep();
  for (int i : {0, 11}) {
    world->sink(0).gradient(i)[0] = 1;
    const uint64_t last = trainer.ParameterChecksum();
    ASSERT_TRUE(trainer.ApplyGradients(Step(0)).ok());
    EXPECT_NE(trainer.ParameterChecksum(), last);
  }
}

TEST(Trainer, FloatBuffersAreTheRunningStatistics) {
  proto::JobConfig job = SyntheticJob();
  EXPECT_TRUE((*Trainer::Create(job, Rank(0), 1))->FloatBuffers().empty());
  job.mutable_model()->set_name("resnet18");
  job.mutable_training()->set_global_batch(4);
  const auto world = *MemoryWorld::Create(job, 1);
  const auto buffers = world->trainer(0).FloatBuffers();
  ASSERT_EQ(buffers.size(), 40u);  // mean and variance of 20 batch norms
  EXPECT_EQ(buffers[0].size(), 64u);
  EXPECT_EQ(buffers[0][0], 0);
  ASSERT_TRUE(world->RunStep(Step(0)).ok());
  EXPECT_NE(buffers[0][0], 0);
  // They are the model's own storage: what is written there is what evaluation uses.
  const double before = world->trainer(0).EvaluateShard()->loss_sum();
  std::fill(buffers[0].begin(), buffers[0].end(), 10.0f);
  EXPECT_NE(world->trainer(0).EvaluateShard()->loss_sum(), before);
}

TEST(Trainer, LearningRateFollowsTheSchedule) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_schedule()->set_kind("cosine");
  const auto world = *MemoryWorld::Create(job, 1);
  const uint64_t before = world->trainer(0).ParameterChecksum();
  world->sink(0).BeginStep();
  world->sink(0).gradient(0)[0] = 1;
  ASSERT_TRUE(world->trainer(0).ApplyGradients(Step(50)).ok());
  EXPECT_EQ(world->trainer(0).ParameterChecksum(), before) << "the rate is 0 at the job's end";
  ASSERT_TRUE(world->trainer(0).ApplyGradients(Step(49)).ok());
  EXPECT_NE(world->trainer(0).ParameterChecksum(), before);
}

TEST(Trainer, DivergenceIsAnErrorWithStepAndRankBeforeAnyGradientMoves) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_learning_rate(1000);
  const auto world = *MemoryWorld::Create(job, 1);
  absl::Status status;
  int64_t s = 0;
  for (; status.ok() && s < 50; ++s) status = world->RunStep(Step(s)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("step ", s - 1, ", rank 0")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("learning_rate"));
  EXPECT_TRUE(world->sink(0).ready().empty());
}

TEST(Trainer, AJobThatCannotRunIsRefused) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_global_batch(3);
  const auto small = Trainer::Create(job, Rank(0), 4);
  EXPECT_EQ(small.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(small.status().message()), HasSubstr("3, but there are 4 workers"));
  EXPECT_TRUE(Trainer::Create(job, Rank(2), 3).ok());
  job.mutable_training()->set_global_batch(513);
  EXPECT_EQ(Trainer::Create(job, Rank(0), 4).status().code(), absl::StatusCode::kInvalidArgument);
  job = SyntheticJob();
  job.mutable_data()->set_path("/nowhere");
  EXPECT_EQ(Trainer::Create(job, Rank(0), 1).status().code(), absl::StatusCode::kNotFound);
}

// A checkpoint of `trainer` alone, as rank 0 of a world of one writes it.
absl::StatusOr<std::string> WriteAlone(Trainer& trainer, const proto::JobConfig& job,
                                       const std::string& root, Step completed,
                                       const proto::CompressionPolicy& policy) {
  proto::CheckpointManifest manifest;
  manifest.set_step(completed.value);
  manifest.set_world_size(1);
  manifest.set_samples_seen(completed.value * job.training().global_batch());
  *manifest.mutable_job() = job;
  *manifest.mutable_policy() = policy;
  const auto blobs = trainer.CheckpointFiles(completed);
  if (!blobs.ok()) return blobs.status();
  const auto files = WritePart(root, completed, *blobs);
  if (!files.ok()) return files.status();
  return CommitCheckpoint(root, std::move(manifest), *files, 1);
}

class CheckpointedTrainerTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Optimizers, CheckpointedTrainerTest,
                         testing::Values("sgd", "adam", "adamw", "lamb"));

TEST_P(CheckpointedTrainerTest, GoesOnAsIfNeverStopped) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_kind(GetParam());
  job.mutable_optimizer()->set_learning_rate(1e-3);
  const std::string root = FreshDirectory("goes_on");
  const auto first = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 5; ++s) ASSERT_TRUE(first->RunStep(Step(s)).ok());
  proto::CompressionPolicy policy;
  policy.set_version(2);
  const auto path = WriteAlone(first->trainer(0), job, root, Step(5), policy);
  ASSERT_TRUE(path.ok()) << path.status();
  const auto manifest = VerifyCheckpoint(*path);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->samples_seen(), 80);
  EXPECT_EQ(manifest->policy().version(), 2u);
  EXPECT_EQ(manifest->job().training().global_batch(), 16);

  const auto second = *MemoryWorld::Create(job, 1);
  const auto completed = second->trainer(0).RestoreCheckpoint(*path);
  ASSERT_TRUE(completed.ok()) << completed.status();
  EXPECT_EQ(*completed, Step(5));
  EXPECT_EQ(second->trainer(0).ParameterChecksum(), first->trainer(0).ParameterChecksum());
  for (int s = 5; s < 10; ++s) EXPECT_EQ(*second->RunStep(Step(s)), *first->RunStep(Step(s)));
  EXPECT_EQ(second->trainer(0).ParameterChecksum(), first->trainer(0).ParameterChecksum());
}

TEST(Trainer, ACheckpointOfAnotherModelIsRefused) {
  proto::JobConfig job = SyntheticJob();
  const auto cnn = *Trainer::Create(job, Rank(0), 1);
  const auto path = WriteAlone(*cnn, job, FreshDirectory("other_model"), Step(0), {});
  ASSERT_TRUE(path.ok()) << path.status();
  job.mutable_model()->set_name("resnet18");
  const auto resnet = *Trainer::Create(job, Rank(0), 1);
  const auto completed = resnet->RestoreCheckpoint(*path);
  EXPECT_EQ(completed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(completed.status().message()), HasSubstr("cnn"));
}

TEST_P(CheckpointedTrainerTest, ARankThatLoadsAnothersStateGoesOnWithTheSameBits) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_optimizer()->set_kind(GetParam());
  job.mutable_optimizer()->set_learning_rate(1e-3);
  const auto first = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 5; ++s) ASSERT_TRUE(first->RunStep(Step(s)).ok());
  const auto state = first->trainer(0).SaveState(Step(5));
  ASSERT_TRUE(state.ok()) << state.status();

  const auto second = *MemoryWorld::Create(job, 1);
  for (int s = 0; s < 2; ++s) ASSERT_TRUE(second->RunStep(Step(s)).ok());  // has a state of its own
  const auto completed = second->trainer(0).LoadState(*state);
  ASSERT_TRUE(completed.ok()) << completed.status();
  EXPECT_EQ(*completed, Step(5));
  EXPECT_EQ(*second->trainer(0).SaveState(Step(5)), *state);
  for (int s = 5; s < 10; ++s) EXPECT_EQ(*second->RunStep(Step(s)), *first->RunStep(Step(s)));
  EXPECT_EQ(*second->trainer(0).SaveState(Step(10)), *first->trainer(0).SaveState(Step(10)));
}

TEST(Trainer, AStateBeforeTheFirstStepHasNoOptimiserState) {
  const proto::JobConfig job = SyntheticJob();
  const auto fresh = *MemoryWorld::Create(job, 1);
  const std::string state = *fresh->trainer(0).SaveState(Step(0));
  const auto used = *MemoryWorld::Create(job, 1);
  ASSERT_TRUE(used->RunStep(Step(0)).ok());
  EXPECT_EQ(*used->trainer(0).LoadState(state), Step(0));
  for (int s = 0; s < 3; ++s) EXPECT_EQ(*used->RunStep(Step(s)), *fresh->RunStep(Step(s)));
  EXPECT_EQ(used->trainer(0).ParameterChecksum(), fresh->trainer(0).ParameterChecksum());
}

TEST(Trainer, AStateOfAnotherKindOrDamagedChangesNothing) {
  proto::JobConfig job = SyntheticJob();
  const auto world = *MemoryWorld::Create(job, 1);
  ASSERT_TRUE(world->RunStep(Step(0)).ok());
  const std::string sgd = *world->trainer(0).SaveState(Step(1));
  job.mutable_optimizer()->set_kind("adam");
  const auto adam = *MemoryWorld::Create(job, 1);
  ASSERT_TRUE(adam->RunStep(Step(0)).ok());
  const std::string before = *adam->trainer(0).SaveState(Step(1));
  EXPECT_EQ(adam->trainer(0).LoadState(sgd).status().code(), absl::StatusCode::kFailedPrecondition);
  std::string missing = before;
  const size_t name = missing.find("optimizer.exp_avg_sq.conv1.weight");
  ASSERT_NE(name, std::string::npos);
  missing[name] = 'x';
  EXPECT_EQ(adam->trainer(0).LoadState(missing).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(adam->trainer(0).LoadState(before.substr(0, before.size() - 1)).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(adam->trainer(0).LoadState("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(*adam->trainer(0).SaveState(Step(1)), before);
}

// The loss of every rank in one step, without applying it.
std::vector<double> Losses(MemoryWorld& world, Step step) {
  std::vector<double> losses;
  for (int r = 0; r < world.size(); ++r) {
    losses.push_back(*world.trainer(r).ForwardBackward(step));
  }
  return losses;
}

TEST(Trainer, AnotherWorldTakesOtherSlicesFromTheNextStepOn) {
  const proto::JobConfig job = SyntheticJob();  // batches are prefetched
  const auto four = *MemoryWorld::Create(job, 4);
  const auto three = *MemoryWorld::Create(job, 3);
  for (int s = 0; s < 3; ++s) Losses(*four, Step(s));
  for (int r = 0; r < 3; ++r) ASSERT_TRUE(four->trainer(r + 1).SetWorld(Rank(r), 3).ok());
  for (int s = 3; s < 6; ++s) {
    const std::vector<double> expected = Losses(*three, Step(s));
    for (int r = 0; r < 3; ++r) {
      EXPECT_EQ(*four->trainer(r + 1).ForwardBackward(Step(s)), expected[r]) << "rank " << r;
      EXPECT_EQ(four->sink(r + 1).gradients(), three->sink(r).gradients()) << "rank " << r;
    }
  }
  EXPECT_EQ(four->trainer(1).StepsOf(1), three->trainer(0).StepsOf(1));
  EXPECT_EQ(four->trainer(1).SetWorld(Rank(0), 17).code(), absl::StatusCode::kInvalidArgument);
  const auto shard = four->trainer(1).EvaluateShard();
  EXPECT_EQ(shard->predictions(), three->trainer(0).EvaluateShard()->predictions());
}

TEST(Trainer, AnotherSinkTakesThePlaceOfTheFirst) {
  const proto::JobConfig job = SyntheticJob();
  const auto plain = *MemoryWorld::Create(job, 1);
  const auto trainer = *Trainer::Create(job, Rank(0), 1);
  for (int s = 0; s < 4; ++s) {
    auto sink = std::make_unique<MemorySink>(trainer->parameters());  // the one before is gone
    trainer->Attach(*sink);
    sink->BeginStep();
    EXPECT_EQ(*trainer->ForwardBackward(Step(s)), *plain->RunStep(Step(s)));
    EXPECT_EQ(sink->ready().size(), trainer->parameters().size()) << "each is ready once";
    ASSERT_TRUE(trainer->ApplyGradients(Step(s)).ok());
    EXPECT_EQ(trainer->ParameterChecksum(), plain->trainer(0).ParameterChecksum());
  }
}

// What a program that knows nothing of us reads in `path`: "NAME DTYPE SHAPE SUM" per tensor.
std::vector<std::string> ReadWithPython(const std::string& path) {
  const std::string script =
      "import json,struct,sys\n"
      "b=open(sys.argv[1],'rb').read()\n"
      "n=struct.unpack('<Q',b[:8])[0]\n"
      "for name,t in json.loads(b[8:8+n]).items():\n"
      "  if name=='__metadata__': continue\n"
      "  d=b[8+n:][slice(*t['data_offsets'])]\n"
      "  v=struct.unpack('<%d%s'%(len(d)//(4 if t['dtype']=='F32' else 8),"
      "'f' if t['dtype']=='F32' else 'q'),d)\n"
      "  print(name,t['dtype'],'x'.join(map(str,t['shape'])),'%.6g'%sum(map(abs,v)))\n";
  FILE* const out = popen(("python3 -c \"" + script + "\" " + path).c_str(), "r");
  std::vector<std::string> lines;
  for (char line[512]; std::fgets(line, sizeof(line), out) != nullptr;) lines.push_back(line);
  EXPECT_EQ(pclose(out), 0);
  return lines;
}

TEST(Trainer, OtherProgramsReadTheModelOfACheckpoint) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("resnet18");
  job.mutable_training()->set_global_batch(4);
  const auto world = *MemoryWorld::Create(job, 1);
  ASSERT_TRUE(world->RunStep(Step(0)).ok());
  const auto path = WriteAlone(world->trainer(0), job, FreshDirectory("read"), Step(1), {});
  ASSERT_TRUE(path.ok()) << path.status();
  const auto lines = ReadWithPython(*path + "/model.safetensors");
  EXPECT_EQ(lines.size(), 62u + 60u);  // parameters; per batch norm mean, variance and a count
  EXPECT_THAT(lines, testing::Contains(testing::StartsWith("fc.weight F32 10x512 ")));
  EXPECT_THAT(lines, testing::Contains(testing::MatchesRegex(".*num_batches_tracked I64  1\n")));
  const auto buffers = world->trainer(0).FloatBuffers();
  double sum = 0;
  for (float value : buffers[0]) sum += std::abs(value);
  EXPECT_THAT(lines, testing::Contains(testing::MatchesRegex(
                         absl::StrFormat(".*running_mean F32 64 %.6g\n", sum))));
  EXPECT_THAT(ReadWithPython(*path + "/optimizer.safetensors"),
              testing::AllOf(testing::SizeIs(62),
                             testing::Each(testing::StartsWith("optimizer.momentum_buffer."))));
}

TEST(Trainer, EveryRankGetsItsOwnBuffersBack) {
  proto::JobConfig job = SyntheticJob();
  job.mutable_model()->set_name("resnet18");
  job.mutable_training()->set_global_batch(4);
  const std::string root = FreshDirectory("buffers");
  const auto world = *MemoryWorld::Create(job, 2);
  ASSERT_TRUE(world->RunStep(Step(0)).ok());
  std::vector<proto::CheckpointFile> files;
  for (int r = 0; r < 2; ++r) {
    const auto blobs = world->trainer(r).CheckpointFiles(Step(1));
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    const auto part = WritePart(root, Step(1), *blobs);
    ASSERT_TRUE(part.ok()) << part.status();
    files.insert(files.end(), part->begin(), part->end());
  }
  proto::CheckpointManifest manifest;
  manifest.set_step(1);
  manifest.set_world_size(2);
  const auto path = CommitCheckpoint(root, manifest, files, 1);
  ASSERT_TRUE(path.ok()) << path.status();

  const auto values = [](Trainer& trainer) {
    std::vector<float> all;
    for (absl::Span<float> buffer : trainer.FloatBuffers()) {
      all.insert(all.end(), buffer.begin(), buffer.end());
    }
    return all;
  };
  ASSERT_NE(values(world->trainer(0)), values(world->trainer(1)));
  for (int r = 0; r < 3; ++r) {
    const auto resumed = *Trainer::Create(job, Rank(r), 3);
    ASSERT_EQ(*resumed->RestoreCheckpoint(*path), Step(1));
    EXPECT_EQ(resumed->ParameterChecksum(), world->trainer(0).ParameterChecksum());
    EXPECT_EQ(values(*resumed), values(world->trainer(0)));
    const absl::Status restored = resumed->RestoreBuffers(*path);
    ASSERT_TRUE(restored.ok()) << restored;
    EXPECT_EQ(values(*resumed), values(world->trainer(r % 2))) << "rank " << r;
  }
}

}  // namespace
}  // namespace sluice
