#include "orchestrator/chaos/chaos.h"

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/chaos/coordinator_chaos.h"
#include "orchestrator/config/chaos_loader.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ChaosTest : public testing::Test {
 protected:
  Chaos::Effects Effects() {
    return {
        [this] { log_.push_back("kill at " + std::to_string(step_)); },
        [this](absl::Duration time) { log_.push_back("stop " + absl::FormatDuration(time)); },
        [this](absl::Duration time) {
          log_.push_back("sleep " + absl::FormatDuration(time) + " at " + std::to_string(step_));
        },
        [this] { return now_; }};
  }
  Chaos Make(const std::string& yaml, int rank = 1, int world = 4) {
    return Chaos(*ParseChaos("faults: [" + yaml + "]", "plan.yaml", world), Rank(rank), world,
                 Effects());
  }
  void Run(Chaos& chaos, int64_t from, int64_t to) {
    for (step_ = from; step_ < to; ++step_) {
      chaos.OnStep(Step(step_));
      now_ += absl::Seconds(1);
    }
  }

  absl::Time now_ = absl::UnixEpoch();
  int64_t step_ = 0;
  std::vector<std::string> log_;
};

TEST_F(ChaosTest, AFaultStrikesItsRankOnceWhenItsStepBegins) {
  Chaos mine = Make("{fault: kill, at_step: 5, rank: 1}");
  Run(mine, 0, 20);
  EXPECT_THAT(log_, ElementsAre("kill at 5"));
  Chaos other = Make("{fault: kill, at_step: 5, rank: 2}");
  Run(other, 0, 20);
  EXPECT_EQ(log_.size(), 1u);
}

TEST_F(ChaosTest, WhoComesBackIsNotStruckByTheSameFault) {
  Chaos back = Make("{fault: kill, at_step: 5, rank: 1}, {fault: kill, after_seconds: 0, rank: 1}");
  Run(back, 5, 20);
  EXPECT_TRUE(log_.empty());
  Chaos before = Make("{fault: kill, at_step: 7, rank: 1}");
  Run(before, 5, 20);
  EXPECT_THAT(log_, ElementsAre("kill at 7"));
}

TEST_F(ChaosTest, AFaultThatComesAgainStrikesWhoBeginsWithItsStep) {
  Chaos back = Make("{fault: kill, at_step: 5, rank: 1, again: on}");
  Run(back, 5, 20);
  EXPECT_THAT(log_, ElementsAre("kill at 5"));
  Chaos past = Make("{fault: kill, at_step: 5, rank: 1, again: on}");
  Run(past, 6, 20);
  EXPECT_EQ(log_.size(), 1u);
}

TEST_F(ChaosTest, ADelayLastsForItsSteps) {
  Chaos chaos = Make("{fault: delay, after_seconds: 2, rank: 1, milliseconds: 30, for_steps: 2}");
  Run(chaos, 0, 10);
  EXPECT_THAT(log_, ElementsAre("sleep 30ms at 2", "sleep 30ms at 3"));
}

TEST_F(ChaosTest, AStopIsTold) {
  Chaos chaos = Make("{fault: stop, at_step: 0, rank: 1, for_seconds: 2.5}");
  Run(chaos, 0, 3);
  EXPECT_THAT(log_, ElementsAre("stop 2.5s"));
}

TEST_F(ChaosTest, ANaNIsInTheNamedGradientOfItsStepAlone) {
  Chaos chaos = Make("{fault: nan, at_step: 1, rank: 1, layer: fc}");
  std::vector<float> fc(3), conv(3);
  const auto step = [&](int64_t s) {
    fc = conv = {1, 2, 3};
    Run(chaos, s, s + 1);
    chaos.OnGradient("conv", absl::MakeSpan(conv));
    chaos.OnGradient("fc", absl::MakeSpan(fc));
    return std::isnan(fc[0]);
  };
  EXPECT_FALSE(step(0));
  EXPECT_TRUE(step(1));
  EXPECT_FALSE(std::isnan(conv[0]));
  EXPECT_FALSE(step(2));
}

TEST_F(ChaosTest, FaultsOfLinksAreThoseOfTheirPeerAndTime) {
  Chaos chaos = Make(
      "{fault: drop, at_step: 1, rank: 1, to: 2},"
      "{fault: partition, at_step: 1, rank: 1, to: 3},"
      "{fault: slow_link, at_step: 1, rank: 1, to: 0, megabytes_per_second: 2},"
      "{fault: corrupt, at_step: 2, rank: 1, offset: 7}");
  Run(chaos, 0, 1);
  EXPECT_FALSE(chaos.OnSend(Rank(2), 10).lost);
  Run(chaos, 1, 2);
  EXPECT_TRUE(chaos.OnSend(Rank(2), 10).lost);
  EXPECT_FALSE(chaos.OnSend(Rank(3), 10).lost);
  EXPECT_EQ(chaos.OnSend(Rank(3), 10).failure.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(chaos.OnReceive(Rank(2)).ok());
  EXPECT_THAT(std::string(chaos.OnReceive(Rank(3)).message()),
              HasSubstr("rank 1 is cut off from rank 3"));
  EXPECT_EQ(chaos.OnSend(Rank(0), 1000000).hold, absl::Milliseconds(500));
  Run(chaos, 2, 3);
  EXPECT_TRUE(chaos.OnReceive(Rank(3)).ok());
  EXPECT_EQ(chaos.OnSend(Rank(0), 10).corrupt_byte, 7u);
  EXPECT_EQ(chaos.OnSend(Rank(0), 10).corrupt_byte, std::nullopt);
}

TEST_F(ChaosTest, RandomRanksFollowFromTheSeed) {
  std::set<int64_t> seen;
  proto::ChaosPlan plan;
  for (int i = 0; i < 100; ++i) plan.add_faults()->set_rank("random");
  for (int i = 0; i < 100; ++i) {
    const Rank rank = RankOf(plan, i, 5);
    EXPECT_EQ(rank, RankOf(plan, i, 5));
    EXPECT_LT(rank, Rank(5));
    seen.insert(rank.value);
  }
  EXPECT_EQ(seen.size(), 5u);
}

TEST_F(ChaosTest, TheCoordinatorIsKilledWhenItHearsOfTheStep) {
  CoordinatorChaos chaos(
      *ParseChaos("faults: [{fault: coordinator_kill, at_step: 5}, {fault: kill, at_step: 1}]", "p",
                  2),
      Effects());
  ClusterStep step;
  step.step = Step(4);
  chaos.OnSteps({step});
  EXPECT_TRUE(log_.empty());
  step.step = Step(5);
  chaos.OnSteps({step});
  EXPECT_EQ(log_.size(), 1u);
}

std::string Refused(const std::string& text) {
  const auto plan = ParseChaos(text, "plan.yaml", 4);
  return plan.ok() ? "" : std::string(plan.status().message());
}

TEST(ParseChaos, NamesFileAndLineOfEveryError) {
  EXPECT_EQ(Refused("seed: 3\nfaults:\n- {fault: kill, at_step: 3, rank: 1}\n"), "");
  EXPECT_THAT(Refused("faults:\n- {fault: kil, at_step: 3}\n"),
              HasSubstr("plan.yaml:2: fault \"kil\" is not known: did you mean \"kill\"?"));
  EXPECT_THAT(Refused("faults:\n- fault: kill\n"),
              HasSubstr("plan.yaml:2: expected either at_step or after_seconds"));
  EXPECT_THAT(Refused("faults:\n- {fault: kill, at_step: 1, after_seconds: 1}\n"),
              HasSubstr("expected either"));
  EXPECT_THAT(Refused("faults:\n- {fault: kill, at_step: 1}\n- {fault: kill, at_step: 1, rank: 4}"),
              HasSubstr("plan.yaml:3: rank: expected random, or a number in [0, 3], got \"4\""));
  EXPECT_THAT(Refused("faults:\n- {fault: drop, at_step: 1, to: 4}\n"), HasSubstr("plan.yaml:2"));
  EXPECT_THAT(Refused("faults:\n- {fault: kill, at: 1}\n"), HasSubstr("plan.yaml:2"));
  EXPECT_THAT(Refused("faults: [\n"), HasSubstr("plan.yaml"));
}

TEST(LoadChaos, AFileThatIsNotThereIsNamed) {
  EXPECT_THAT(std::string(LoadChaos("/no/such/plan.yaml", 2).status().message()),
              HasSubstr("/no/such/plan.yaml"));
}

}  // namespace
}  // namespace sluice
