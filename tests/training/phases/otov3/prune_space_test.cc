#include "training/phases/otov3/prune_space.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/zoo/network.h"
#include "models/zoo/zoo.h"

namespace sluice::otov3 {
namespace {

using ::testing::HasSubstr;

const DataShape kImages{{1, 16, 16}, 10, false};

std::shared_ptr<Network> Make(const std::string& name) {
  proto::Model model;
  model.set_name(name);
  return BuildNetwork(model, kImages, 1).value();
}

PruneSettings Erasing() {
  PruneSettings settings;
  settings.mode = Mode::kErase;
  return settings;
}

TEST(PruneSpace, OfAResnetAreItsBranchesOfWhichEachBlockKeepsOne) {
  std::shared_ptr<Network> network = Make("resnet18");
  const auto space = FindPruneSpace(*network, kImages, Erasing());
  ASSERT_TRUE(space.ok()) << space.status();
  network.reset();
  // Eight blocks, three of which have a convolution around them.
  EXPECT_EQ(space->groups.size(), 11u);
  std::vector<int32_t> all;
  for (const graph::Group& group : space->groups) {
    EXPECT_TRUE(space->valid({group.class_id}));
    all.push_back(group.class_id);
  }
  EXPECT_TRUE(space->valid({}));
  EXPECT_FALSE(space->valid(all));
}

TEST(PruneSpace, OfANetworkWithoutBranchesThereIsNoneToErase) {
  const std::shared_ptr<Network> network = Make("mlp");
  const auto space = FindPruneSpace(*network, kImages, Erasing());
  EXPECT_EQ(space.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(space.status().message()),
              HasSubstr("nothing of the network can be erased:\n"));
  EXPECT_THAT(std::string(space.status().message()), HasSubstr("it makes the network's output"));
}

TEST(PruneSpace, OfPruningAreChannelsThatMayAllGo) {
  const std::shared_ptr<Network> network = Make("mlp");
  const auto space = FindPruneSpace(*network, kImages, PruneSettings());
  ASSERT_TRUE(space.ok()) << space.status();
  EXPECT_GT(space->groups.size(), 0u);
  EXPECT_EQ(space->valid, nullptr);
}

TEST(PruneSpaces, WhatIsFoundIsKeptWhateverBecomesOfTheNetwork) {
  const std::shared_ptr<Network> network = Make("mlp");
  PruneSpaces spaces;
  const auto found = spaces.Of(*network, kImages, PruneSettings());
  ASSERT_TRUE(found.ok()) << found.status();
  for (at::Tensor& parameter : network->parameters()) parameter.set_requires_grad(false);
  EXPECT_FALSE(FindPruneSpace(*network, kImages, PruneSettings()).ok());
  const auto again = spaces.Of(*network, kImages, PruneSettings());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->groups.size(), found->groups.size());
}

}  // namespace
}  // namespace sluice::otov3
