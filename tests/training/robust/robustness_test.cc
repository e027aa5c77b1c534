#include "training/robust/robustness.h"

#include "gtest/gtest.h"
#include "models/data/dataset.h"
#include "models/zoo/zoo.h"
#include "tests/training/memory_world.h"
#include "training/robust/robustness_shard.h"

namespace sluice {
namespace {

struct Model {
  proto::JobConfig job = SyntheticJob();
  Datasets data = *LoadDatasets(job.data());
  std::shared_ptr<Network> network = *BuildNetwork(job.model(), data.test->shape(), 1);

  RobustnessCounts Shard(const RobustnessQuestion& question, int rank, int world_size) {
    const auto counts = AttackShardOf(*data.test, 1, question, Rank(rank), world_size, *network);
    EXPECT_TRUE(counts.ok()) << counts.status();
    return counts.value_or(RobustnessCounts());
  }
};

RobustnessQuestion Question() {
  RobustnessQuestion question;
  question.eps = 0.02;
  question.samples = 21;
  question.restarts = 2;
  return question;
}

TEST(Robustness, CountsOfShardsAddUp) {
  Model model;
  const RobustnessCounts whole = model.Shard(Question(), 0, 1);
  RobustnessCounts sum;
  for (int rank = 0; rank < 4; ++rank) {
    const RobustnessCounts part = model.Shard(Question(), rank, 4);
    sum.samples += part.samples;
    sum.clean += part.clean;
    sum.fgsm += part.fgsm;
    sum.pgd20 += part.pgd20;
    sum.pgd50 += part.pgd50;
    sum.worst_case += part.worst_case;
  }
  EXPECT_EQ(sum.samples, 21);
  EXPECT_EQ(sum.clean, whole.clean);
  EXPECT_EQ(sum.fgsm, whole.fgsm);
  EXPECT_EQ(sum.pgd20, whole.pgd20);
  EXPECT_EQ(sum.pgd50, whole.pgd50);
  EXPECT_EQ(sum.worst_case, whole.worst_case);
}

TEST(Robustness, WithoutARadiusEveryAttackIsHarmless) {
  Model model;
  RobustnessQuestion question = Question();
  question.eps = 0;
  const RobustnessCounts counts = model.Shard(question, 0, 1);
  EXPECT_EQ(counts.fgsm, counts.clean);
  EXPECT_EQ(counts.pgd50, counts.clean);
  EXPECT_EQ(counts.worst_case, counts.clean);
}

TEST(Robustness, ACheckpointThatIsNotThereIsNamed) {
  const auto report = MeasureRobustness(SyntheticJob(), "/nowhere/step_00000001", Question());
  EXPECT_EQ(report.status().code(), absl::StatusCode::kNotFound) << report.status();
}

}  // namespace
}  // namespace sluice
