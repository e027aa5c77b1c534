#include "training/phases/otov3/prune_space.h"

#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/data/dataset.h"
#include "models/zoo/zoo.h"
#include "tests/training/memory_world.h"

namespace sluice::otov3 {
namespace {

// An mlp of two layers of 16, and what a phase sees of it.
class PruneSpacesTest : public testing::Test {
 protected:
  PruneSpacesTest() : job_(SyntheticJob()) {
    job_.mutable_model()->set_name("mlp");
    job_.mutable_model()->set_width(16);
    job_.mutable_model()->set_depth(2);
    data_ = *LoadDatasets(job_.data());
    network_ = *BuildNetwork(job_.model(), data_.train->shape(), 1);
    parameters_ = ParametersInBackwardOrder(*network_);
    settings_.set_divisor(4);
  }

  PhaseModel Model() const { return {*network_, parameters_, *data_.train, job_}; }
  void Freeze() {
    for (const NamedParameter& parameter : parameters_) parameter.tensor.set_requires_grad(false);
  }

  proto::JobConfig job_;
  Datasets data_;
  std::shared_ptr<Network> network_;
  std::vector<NamedParameter> parameters_;
  proto::Otov3 settings_;
};

TEST_F(PruneSpacesTest, HiddenUnitsAreGroups) {
  const auto groups = PruneSpaces().GroupsOf(Model(), settings_);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ(groups->size(), 32u);
}

TEST_F(PruneSpacesTest, ANetworkOfWhichNothingCanBePrunedIsRefused) {
  Freeze();
  const auto groups = PruneSpaces().GroupsOf(Model(), settings_);
  EXPECT_EQ(groups.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(groups.status().message()),
              testing::HasSubstr("nothing of the network can be pruned"));
}

TEST_F(PruneSpacesTest, WhatIsFoundIsKeptWhateverBecomesOfTheNetwork) {
  PruneSpaces spaces;
  ASSERT_TRUE(spaces.GroupsOf(Model(), settings_).ok());
  Freeze();
  const auto groups = spaces.GroupsOf(Model(), settings_);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ(groups->size(), 32u);
}

}  // namespace
}  // namespace sluice::otov3
