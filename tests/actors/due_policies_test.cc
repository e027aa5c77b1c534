#include "actors/due_policies.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

class DuePoliciesTest : public testing::Test {
 protected:
  void Add(uint32_t version, int64_t effective_step) {
    proto::CompressionPolicy policy;
    policy.set_version(version);
    policy.set_effective_step(effective_step);
    due_.Add(policy);
  }
  std::vector<uint32_t> VersionsDueBefore(int64_t step) {
    std::vector<uint32_t> versions;
    for (const proto::CompressionPolicy& policy : due_.Take(Step(step))) {
      versions.push_back(policy.version());
    }
    return versions;
  }
  DuePolicies due_;
};

TEST_F(DuePoliciesTest, APlanIsDueOneStepBeforeItTakesEffect) {
  Add(1, 50);
  Add(2, 105);
  EXPECT_THAT(VersionsDueBefore(48), ElementsAre());
  EXPECT_THAT(VersionsDueBefore(49), ElementsAre(1));
  EXPECT_THAT(VersionsDueBefore(103), ElementsAre());
  EXPECT_THAT(VersionsDueBefore(104), ElementsAre(2));
  EXPECT_THAT(VersionsDueBefore(105), ElementsAre());
}

TEST_F(DuePoliciesTest, WhatCameLateIsDueAtOnceAndInOrder) {
  Add(1, 0);
  Add(2, 1);
  Add(3, 20);
  EXPECT_THAT(VersionsDueBefore(0), ElementsAre(1, 2));
  Add(4, 10);
  EXPECT_THAT(VersionsDueBefore(30), ElementsAre(3, 4));
}

}  // namespace
}  // namespace sluice
