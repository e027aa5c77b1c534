#pragma once

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/targets.h"

namespace sluice {

/// Tests that make kernels use one instruction set of this machine after the other; after each test
/// all are allowed again.
template <class Param>
class EachInstructionSetTest : public ::testing::TestWithParam<Param> {
 protected:
  static std::vector<int64_t> Available() {
    std::vector<int64_t> targets;
    for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
      targets.push_back(left & -left);
    }
    return targets;
  }
  /// \param target  one of Available(); 0 = all
  static void Use(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override { Use(0); }
};

}  // namespace sluice
