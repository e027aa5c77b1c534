#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training/memory_world.h"
#include "training/trainer.h"

namespace sluice {
namespace {

using testing::HasSubstr;

proto::JobConfig SmallJob() {
  proto::JobConfig job = SyntheticJob();
  job.mutable_training()->set_global_batch(5);  // slices of 2 and 3
  job.mutable_data()->set_prefetch_batches(0);
  return job;
}

proto::JobConfig ScriptJob(const std::string& name) {
  proto::JobConfig job = SmallJob();
  job.mutable_model()->set_torchscript(absl::StrCat("tests/models/torchscript/", name, ".pt"));
  return job;
}

void ExpectIdenticalReplicasAfterOneStep(const proto::JobConfig& job) {
  const auto world = MemoryWorld::Create(job, 2);
  ASSERT_TRUE(world.ok()) << world.status();
  const uint64_t before = (*world)->trainer(0).ParameterChecksum();
  EXPECT_EQ((*world)->trainer(1).ParameterChecksum(), before);
  const auto loss = (*world)->RunStep(Step(0));
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NE((*world)->trainer(0).ParameterChecksum(), before);
  EXPECT_EQ((*world)->trainer(1).ParameterChecksum(), (*world)->trainer(0).ParameterChecksum());
}

class ImageModel : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Names, ImageModel,
                         testing::Values("mlp", "cnn", "vgg11", "vgg16", "resnet18", "resnet50",
                                         "densenet121", "mobilenetv2", "vit"));

TEST_P(ImageModel, LeavesReplicasIdenticalAfterADistributedStep) {
  proto::JobConfig job = SmallJob();
  job.mutable_model()->set_name(GetParam());
  ExpectIdenticalReplicasAfterOneStep(job);
}

class TokenModel : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Names, TokenModel, testing::Values("gpt", "bert"));

TEST_P(TokenModel, LeavesReplicasIdenticalAfterADistributedStep) {
  const std::string text = absl::StrCat(FreshDirectory(absl::StrCat("text_", GetParam())), "/text");
  std::ofstream(text) << std::string(300, 'a') << std::string(300, 'b');
  proto::JobConfig job = SmallJob();
  job.mutable_model()->set_name(GetParam());
  job.mutable_data()->set_dataset("bytes");
  job.mutable_data()->set_path(text);
  job.mutable_data()->set_context(16);
  job.mutable_data()->set_test_share(0.1);
  ExpectIdenticalReplicasAfterOneStep(job);
}

class ScriptModel : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Names, ScriptModel,
                         testing::Values("cnn", "resnet", "transformer", "Tied", "Counting"));

TEST_P(ScriptModel, LeavesReplicasIdenticalAfterADistributedStep) {
  ExpectIdenticalReplicasAfterOneStep(ScriptJob(GetParam()));
}

TEST_P(ScriptModel, GoesOnFromASavedStateWithTheSameBits) {
  const proto::JobConfig job = ScriptJob(GetParam());
  const auto whole = *MemoryWorld::Create(job, 1);
  std::string state;
  for (int step = 0; step < 4; ++step) {
    ASSERT_TRUE(whole->RunStep(Step(step)).ok());
    if (step == 1) state = *whole->trainer(0).SaveState(Step(2));
  }
  const auto later = *MemoryWorld::Create(job, 1);
  ASSERT_EQ(*later->trainer(0).LoadState(state), Step(2));
  for (int step = 2; step < 4; ++step) ASSERT_TRUE(later->RunStep(Step(step)).ok());
  EXPECT_EQ(later->trainer(0).ParameterChecksum(), whole->trainer(0).ParameterChecksum());
  EXPECT_EQ(later->trainer(0).FloatBuffers(), whole->trainer(0).FloatBuffers());
}

TEST(ScriptFile, StateOfAnotherFileIsRefused) {
  const auto cnn = *MemoryWorld::Create(ScriptJob("cnn"), 1);
  const auto traced = *MemoryWorld::Create(ScriptJob("cnn_traced_eval"), 1);
  EXPECT_NE(cnn->trainer(0).ModelFileDigest(), traced->trainer(0).ModelFileDigest());
  const auto completed = traced->trainer(0).LoadState(*cnn->trainer(0).SaveState(Step(1)));
  EXPECT_EQ(completed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(completed.status().message()),
              HasSubstr("written for model \"torchscript "));
}

}  // namespace
}  // namespace sluice
