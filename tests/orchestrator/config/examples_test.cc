#include <string>

#include "gtest/gtest.h"
#include "orchestrator/config/job_loader.h"

namespace sluice {
namespace {

TEST(Examples, FashionMnistIsAnLGreCoJob) {
  const auto job = LoadJob("examples/fashion_mnist.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->model().name(), "cnn");
  EXPECT_EQ(job->training().global_batch(), 128);
  EXPECT_EQ(job->compression().policy(), "lgreco");
  EXPECT_EQ(job->compression().window_steps(), 100);
}

TEST(Examples, Resnet18Loads) {
  const auto job = LoadJob("examples/fashion_mnist_resnet18.yaml", {"training.steps=5"});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->model().name(), "resnet18");
  EXPECT_EQ(job->training().steps(), 5);
}

TEST(Examples, PhasesInheritFromTheJob) {
  const auto job = LoadJob("examples/fashion_mnist_phases.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(job->phases_size(), 2);
  EXPECT_EQ(job->phases(0).compression().policy(), "none");
  EXPECT_EQ(job->phases(1).compression().policy(), "lgreco");
  EXPECT_EQ(job->phases(1).optimizer().learning_rate(), 0.01);
  EXPECT_EQ(job->phases(1).optimizer().momentum(), 0.9);
  EXPECT_EQ(job->phases(1).schedule().warmup_steps(), 10);
  EXPECT_EQ(job->phases(1).schedule().kind(), "cosine");
}

TEST(Examples, PrunedHasAPhaseOfStructuredPruning) {
  const auto job = LoadJob("examples/fashion_mnist_pruned.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->phases(1).kind(), "otov3");
  EXPECT_EQ(job->phases(1).otov3().divisor(), 8);
}

TEST(Examples, CombinedPrunesStructuresAndThenTrainsRobustly) {
  const auto job = LoadJob("examples/fashion_mnist_combined.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(job->phases_size(), 3);
  EXPECT_EQ(job->phases(1).kind(), "otov3");
  EXPECT_EQ(job->phases(2).kind(), "tscnc");
}

TEST(Examples, RobustIsAPrunedPhase) {
  const auto job = LoadJob("examples/fashion_mnist_robust.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->phases(1).kind(), "tscnc");
  EXPECT_EQ(job->phases(1).tscnc().sparsity(), 0.8);
}

}  // namespace
}  // namespace sluice
