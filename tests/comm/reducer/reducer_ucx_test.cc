#include "comm/reducer/reducer.h"

#include <chrono>
#include <future>

#include "absl/time/clock.h"
#include "comm/reducer/window_snapshot.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"
#include "tests/comm/transport/transport_mesh.h"

namespace sluice {
namespace {

class ReducerUcxTest : public testing::TestWithParam<MeshKind> {
 protected:
  ReducerUcxTest() {
    world_.tensors = MixedTensors();
    world_.bucket_bytes = 8192;
    world_.options.world_size = 2;
    world_.connect = [](int peers) { return CreateMesh(GetParam(), peers); };
  }

  World world_;
};

TEST_P(ReducerUcxTest, RawGivesThePlainMean) {
  world_.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 5; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(AllGradients(reducer), NaiveMean(reducer.layout(), Step(s)));
    }
    float value = static_cast<float>(rank.value);
    ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(&value, 1)).ok());
    EXPECT_EQ(value, 0.5f);
  });
}

TEST_P(ReducerUcxTest, ACompressedStepGivesTheSameBitsOnBothRanks) {
  std::vector<std::vector<float>> results(2);
  world_.Run([&](Rank rank, Reducer& reducer) {
    const CodecPlan plan =
        UniformPlan(reducer.layout(), 1, Step(0), {CodecKind::kMaxMin, 4, 512, true});
    ASSERT_TRUE(reducer.OfferPlan(plan).ok());
    for (int64_t s = 0; s < 5; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->plan_version, s == 0 ? 0u : 1u);
    }
    results[rank.value] = AllGradients(reducer);
  });
  EXPECT_EQ(results[0], results[1]);
}

TEST_P(ReducerUcxTest, ADeadPeerEndsTheStep) {
  world_.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
    if (rank == Rank(1)) return;
    EXPECT_EQ(RunStep(reducer, Step(1), rank).status().code(), absl::StatusCode::kUnavailable);
  });
}

// More than queues and sockets hold, so that it takes both ends to move it.
TEST_P(ReducerUcxTest, AWindowReachesTheProfilerAlthoughNoStepFollows) {
  world_.tensors = {{"large", 6 << 20}};
  world_.bucket_bytes = 8 << 20;
  world_.further_peers = 1;
  world_.options.window_steps = 1;
  world_.options.window_decay = 0.9;
  const BucketLayout layout = world_.Layout();
  std::promise<void> received;
  const auto arrival = received.get_future().share();
  world_.Run(
      [&](Rank rank, Reducer& reducer) {
        ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
        EXPECT_EQ(arrival.wait_for(std::chrono::seconds(30)), std::future_status::ready);
      },
      [&](Transport& transport) {
        SnapshotReceiver receiver(layout, transport);
        const auto snapshot = receiver.Receive(absl::Now() + absl::Seconds(30));
        ASSERT_TRUE(snapshot.ok()) << snapshot.status();
        EXPECT_EQ(snapshot->window, 0);
        received.set_value();
      });
}

INSTANTIATE_TEST_SUITE_P(Meshes, ReducerUcxTest,
                         testing::Values(MeshKind::kUcxTcp, MeshKind::kUcxShm),
                         [](const auto& info) { return ToString(info.param); });

}  // namespace
}  // namespace sluice
