#include "comm/reducer/reducer_state.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "absl/time/clock.h"
#include "comm/reducer/reducer.h"
#include "comm/reducer/window_snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kFirst = 7;
constexpr int64_t kSaved = 13;  // in the middle of window 1 of 8 steps
constexpr int64_t kLast = 20;
constexpr int64_t kWindow = 8;

// Steps kFirst to kLast, each tensor with its own codec, and another plan from step 10 on.
World MakeWorld(int world_size) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.further_peers = world_size > 1 ? 1 : 0;
  world.options.world_size = world_size;
  world.options.seed = 5;
  world.options.window_steps = kWindow;
  world.options.window_decay = 0.9;
  world.options.first_step = Step(kFirst);
  return world;
}

CodecPlan PlanOf(const BucketLayout& layout, uint32_t version, int64_t effective, size_t shift) {
  CodecPlan plan = UniformPlan(layout, version, Step(effective), {});
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    plan.codecs[t] = ManyCodecs()[(t + shift) % ManyCodecs().size()];
  }
  return plan;
}

struct Outcome {
  std::vector<std::vector<std::vector<float>>> results;  // by rank and step
  std::vector<std::string> states;                       // by rank, at the end
  std::map<int64_t, WindowSnapshot> windows;

  explicit Outcome(int ranks) : results(ranks), states(ranks) {}
};

// Runs [first, last) on fresh reducers that begin with `plan` and `states`, if there are any.
void RunSteps(World world, int64_t first, int64_t last, size_t shift, CodecPlan plan,
              const std::vector<std::string>& states, int64_t decided, Outcome& outcome) {
  world.options.first_step = Step(first);
  world.options.initial_plan = std::move(plan);
  const int ranks = world.options.world_size;
  world.Run(
      [&](Rank rank, Reducer& reducer) {
        if (!states.empty()) {
          const absl::Status loaded = reducer.LoadState(states[rank.value], decided);
          ASSERT_TRUE(loaded.ok()) << loaded;
        }
        for (int64_t s = first; s < last; ++s) {
          if (s == 9) {
            ASSERT_TRUE(reducer.OfferPlan(PlanOf(reducer.layout(), 2, 10, shift + 5)).ok());
          }
          const auto stats = RunStep(reducer, Step(s), rank);
          ASSERT_TRUE(stats.ok()) << stats.status();
          EXPECT_EQ(stats->plan_version, s < 10 ? 1u : 2u) << "step " << s;
          outcome.results[rank.value].push_back(AllGradients(reducer));
        }
        const auto state = reducer.SaveState();
        ASSERT_TRUE(state.ok()) << state.status();
        outcome.states[rank.value] = *state;
        float one = 1;  // all ranks are through
        ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(&one, 1)).ok());
      },
      [&](Transport& transport) {
        const BucketLayout layout = world.Layout();
        SnapshotReceiver receiver(layout, transport);
        int64_t complete = last / kWindow - first / kWindow;
        if (!states.empty() && decided < first / kWindow - 1) ++complete;
        for (int64_t w = 0; w < complete; ++w) {
          const auto snapshot = receiver.Receive(absl::Now() + absl::Seconds(20));
          ASSERT_TRUE(snapshot.ok()) << snapshot.status() << " rank count " << ranks;
          outcome.windows[snapshot->window] = *snapshot;
        }
      });
}

class ResumedReducerTest : public testing::TestWithParam<std::tuple<int, int>> {};
INSTANTIATE_TEST_SUITE_P(WorldsAndPlans, ResumedReducerTest,
                         testing::Combine(testing::Values(1, 2, 3, 5), testing::Range(0, 18)));

TEST_P(ResumedReducerTest, GoesOnWithTheSameBits) {
  const auto [ranks, shift] = GetParam();
  const World world = MakeWorld(ranks);
  const BucketLayout layout = world.Layout();
  Outcome whole(ranks), resumed(ranks);
  RunSteps(world, kFirst, kLast, shift, PlanOf(layout, 1, 0, shift), {}, 0, whole);
  RunSteps(world, kFirst, kSaved, shift, PlanOf(layout, 1, 0, shift), {}, 0, resumed);
  const std::vector<std::string> saved = resumed.states;
  RunSteps(world, kSaved, kLast, shift, PlanOf(layout, 2, 10, shift + 5), saved, 0, resumed);
  EXPECT_EQ(resumed.results, whole.results);
  EXPECT_EQ(resumed.states, whole.states) << "residuals, warm states or windows differ";
  ASSERT_EQ(resumed.windows.size(), whole.windows.size());
  for (const auto& [number, window] : whole.windows) {
    EXPECT_EQ(resumed.windows[number].tensors, window.tensors) << "window " << number;
  }
}

TEST(ReducerState, AWindowThatWasNotDecidedIsSentAgain) {
  const World world = MakeWorld(2);
  const BucketLayout layout = world.Layout();
  Outcome before(2), again(2);
  RunSteps(world, kFirst, 16, 0, PlanOf(layout, 1, 0, 0), {}, 0, before);
  ASSERT_EQ(before.windows.count(1), 1u);
  RunSteps(world, 16, 17, 0, PlanOf(layout, 2, 10, 5), before.states, /*decided=*/0, again);
  ASSERT_EQ(again.windows.count(1), 1u);
  EXPECT_EQ(again.windows[1].tensors, before.windows[1].tensors);
  Outcome decided(2);
  RunSteps(world, 16, 17, 0, PlanOf(layout, 2, 10, 5), before.states, /*decided=*/1, decided);
  EXPECT_THAT(decided.windows, IsEmpty());
}

TEST(ReducerState, WindowsOfAnotherLengthAreMeasuredAnew) {
  World world = MakeWorld(2);
  const BucketLayout layout = world.Layout();
  Outcome before(2);
  RunSteps(world, kFirst, kSaved, 0, PlanOf(layout, 1, 0, 0), {}, 0, before);
  world.options.first_step = Step(kSaved);
  world.options.window_steps = 3;  // 13 is in window 4
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.LoadState(before.states[rank.value], 0).ok());
    const std::string state = *reducer.SaveState();
    EXPECT_EQ(ReadReducerState(state)->window, -1);
    EXPECT_THAT(reducer.residual(3), testing::Contains(testing::Ne(0.0f)));
  });
}

// What the ranks owe for `tensor` together.
std::vector<double> Owed(const std::vector<std::string>& states, size_t tensor) {
  std::vector<double> sum;
  for (const std::string& bytes : states) {
    const ReducerState state = *ReadReducerState(bytes);
    std::vector<float> residual(state.tensors[tensor].residual.size() / sizeof(float));
    if (residual.empty()) continue;
    std::memcpy(residual.data(), state.tensors[tensor].residual.data(),
                state.tensors[tensor].residual.size());
    sum.resize(residual.size());
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += residual[i];
  }
  return sum;
}

TEST(ReducerState, AnotherWorldOwesTheSameAndTrainsOn) {
  constexpr int kOld = 3;
  const World world = MakeWorld(kOld);
  const BucketLayout layout = world.Layout();
  Outcome before(kOld);
  RunSteps(world, kFirst, kSaved, 0, PlanOf(layout, 1, 0, 0), {}, 0, before);
  for (int ranks : {1, 2, 4, 7}) {
    SCOPED_TRACE(ranks);
    std::vector<std::string> states;
    for (int r = 0; r < ranks; ++r) {
      std::vector<absl::string_view> mine;
      for (int o = 0; o < kOld; ++o) {
        if (o % ranks == r) mine.push_back(before.states[o]);
      }
      if (mine.empty()) mine.push_back(before.states[0]);
      auto merged = MergeReducerStates(mine, Rank(r), ranks);
      ASSERT_TRUE(merged.ok()) << merged.status();
      EXPECT_THAT(merged->notes, ElementsAre(HasSubstr("step 13")));
      states.push_back(merged->bytes);
    }
    for (size_t t = 0; t < layout.tensors().size(); ++t) {
      const std::vector<double> was = Owed(before.states, t), is = Owed(states, t);
      ASSERT_EQ(was.size(), is.size());
      for (size_t i = 0; i < was.size(); ++i) ASSERT_NEAR(was[i], is[i], 1e-5);
    }
    World next = MakeWorld(ranks);
    Outcome after(ranks);
    RunSteps(next, kSaved, 15, 0, PlanOf(layout, 2, 10, 5), states, 0, after);
    for (int r = 1; r < ranks; ++r) EXPECT_EQ(after.results[r], after.results[0]) << "rank " << r;
  }
}

TEST(ReducerState, TheSameRankAndWorldIsTakenAsItIs) {
  Outcome before(2);
  const World world = MakeWorld(2);
  RunSteps(world, kFirst, kSaved, 0, PlanOf(world.Layout(), 1, 0, 0), {}, 0, before);
  const auto merged = MergeReducerStates({before.states[1]}, Rank(1), 2);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(merged->bytes, before.states[1]);
  EXPECT_THAT(merged->notes, IsEmpty());
}

TEST(ReducerState, AStateOfAnotherPlaceIsRefused) {
  Outcome before(2);
  World world = MakeWorld(2);
  RunSteps(world, kFirst, kSaved, 0, PlanOf(world.Layout(), 1, 0, 0), {}, 0, before);
  world.options.first_step = Step(kSaved);
  World later = world, other = world;
  later.options.first_step = Step(kSaved + 1);
  other.tensors[3].name = "renamed";
  const auto refuses = [&](const World& in, bool swapped) {
    in.Run([&](Rank rank, Reducer& reducer) {
      const int from = static_cast<int>(swapped ? 1 - rank.value : rank.value);
      const absl::Status loaded = reducer.LoadState(before.states[from], 0);
      EXPECT_EQ(loaded.code(), absl::StatusCode::kFailedPrecondition) << loaded;
    });
  };
  refuses(world, true);
  refuses(later, false);
  refuses(other, false);
  EXPECT_EQ(MergeReducerStates({before.states[1], before.states[1]}, Rank(0), 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(MergeReducerStates({}, Rank(0), 1).ok());
}

TEST(ReducerState, EveryTruncationIsDataLoss) {
  Outcome before(2);
  World world = MakeWorld(2);
  world.tensors = {{"a.weight", 60, 6}, {"b", 7}};
  const BucketLayout layout = world.Layout();
  CodecPlan plan = UniformPlan(layout, 1, Step(0), {CodecKind::kMaxMin, 4, 64});
  plan.codecs[0] = {CodecKind::kLowRank, 32, 0, false, 0, false, 2};
  world.options.initial_plan = plan;
  std::string state;
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunStep(reducer, Step(kFirst), rank).ok());
    if (rank == Rank(0)) state = *reducer.SaveState();
  });
  const auto read = ReadReducerState(state);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->tensors, SizeIs(2));
  EXPECT_EQ(read->tensors[0].reduced, 2);
  EXPECT_EQ(WriteReducerState(*read), state);
  for (size_t n = 0; n < state.size(); ++n) {
    EXPECT_EQ(ReadReducerState(absl::string_view(state).substr(0, n)).status().code(),
              absl::StatusCode::kDataLoss)
        << "kept " << n << " bytes";
  }
  EXPECT_EQ(ReadReducerState(state + '\0').status().code(), absl::StatusCode::kDataLoss);
}

TEST(ReducerState, AnInitialPlanIsInForceAtOnceAndLaterOnesFollow) {
  World world = MakeWorld(2);
  world.options.initial_plan = UniformPlan(world.Layout(), 5, Step(1000), {CodecKind::kFp16});
  world.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 5, Step(0), {})).ok());
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 6, Step(0), {})).ok());
    EXPECT_EQ(RunStep(reducer, Step(kFirst), rank)->plan_version, 5u);
    EXPECT_EQ(RunStep(reducer, Step(kFirst + 1), rank)->plan_version, 6u);
  });
}

TEST(ReducerState, ABadInitialPlanIsRefused) {
  World world = MakeWorld(1);
  world.options.initial_plan.version = 1;
  const auto reducer = Reducer::Create(world.options, world.Layout(), nullptr);
  EXPECT_EQ(reducer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(reducer.status().message()), HasSubstr("0 codecs for 8 tensors"));
}

TEST(ReducerTransfer, EveryReceiverGetsAllBytes) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{5} << 20, (size_t{8} << 20) + 3}) {
    for (const std::vector<int>& to :
         {std::vector<int>{}, {0}, {3, 1}, {4, 0, 1, 3}, {0, 1, 3, 4, 5, 6}}) {
      World world = MakeWorld(7);
      std::string original(size, '\0');
      for (size_t i = 0; i < size; ++i) original[i] = static_cast<char>(i * 7 + i / 1000);
      world.Run([&](Rank rank, Reducer& reducer) {
        std::string bytes = rank == Rank(2) ? original : "mine";
        for (int twice = 0; twice < 2; ++twice) {
          const absl::Status status = reducer.Transfer(Rank(2), to, bytes);
          ASSERT_TRUE(status.ok()) << status;
        }
        const bool has = rank == Rank(2) || std::find(to.begin(), to.end(), rank.value) != to.end();
        EXPECT_TRUE(bytes == (has ? original : "mine")) << "rank " << rank.value;
        ASSERT_TRUE(RunStep(reducer, Step(kFirst), rank).ok());
      });
    }
  }
}

TEST(ReducerTransfer, ALostPeerEndsTheReducerWithAnError) {
  World world = MakeWorld(2);
  world.options.timeout = absl::Milliseconds(200);
  world.Run([&](Rank rank, Reducer& reducer) {
    if (rank == Rank(0)) return;
    std::string bytes;
    const absl::Status status = reducer.Transfer(Rank(0), {1}, bytes);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr("transfer from rank 0 to 1 rank"));
    EXPECT_EQ(reducer.SaveState().status(), status);
  });
}

}  // namespace
}  // namespace sluice
