#include "comm/reducer/reducer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "comm/transport/inproc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/forwarding_transport.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::Each;
using testing::HasSubstr;

World MakeWorld(int world_size) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;  // three buckets, one of them a single tensor
  world.options.world_size = world_size;
  return world;
}

// Results of all ranks in all steps: [rank][step]. The plan is in force from step 1 on.
using Results = std::vector<std::vector<std::vector<float>>>;

Results RunSteps(const World& world, const CodecPlan& plan, int64_t steps) {
  Results results(world.options.world_size);
  world.Run([&](Rank rank, Reducer& reducer) {
    EXPECT_TRUE(reducer.OfferPlan(plan).ok());
    for (int64_t s = 0; s < steps; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->plan_version, s == 0 ? 0 : plan.version);
      results[rank.value].push_back(AllGradients(reducer));
    }
  });
  return results;
}

class ReducerWorldTest : public testing::TestWithParam<int> {
 protected:
  World world_ = MakeWorld(GetParam());
};

TEST_P(ReducerWorldTest, RawGivesThePlainMean) {
  world_.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s : {0, 1, 41}) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(AllGradients(reducer), NaiveMean(reducer.layout(), Step(s))) << ToString(rank);
    }
  });
}

TEST_P(ReducerWorldTest, EveryCodecGivesTheSameBitsOnAllRanksAndInEveryRun) {
  const BucketLayout layout = world_.Layout();
  for (const CodecConfig& codec : ManyCodecs()) {
    SCOPED_TRACE(ToString(codec));
    const CodecPlan plan = UniformPlan(layout, 1, Step(0), codec);
    const Results first = RunSteps(world_, plan, 4);
    EXPECT_THAT(first, Each(first[0]));
    EXPECT_EQ(first, RunSteps(world_, plan, 4));
  }
}

TEST_P(ReducerWorldTest, TheOrderOfServiceChangesNoBit) {
  const BucketLayout layout = world_.Layout();
  CodecPlan plan = UniformPlan(layout, 1, Step(0), {});
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    plan.codecs[t] = ManyCodecs()[(5 * t + 3) % ManyCodecs().size()];
  }
  const Results oldest_first = RunSteps(world_, plan, 4);
  world_.options.forward_first = true;
  EXPECT_EQ(RunSteps(world_, plan, 4), oldest_first);
}

TEST_P(ReducerWorldTest, SentBytesAreThePredictedOnes) {
  const BucketLayout layout = world_.Layout();
  CodecPlan plan = UniformPlan(layout, 1, Step(0), {});
  double predicted = layout.FixedWireBytes();
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    plan.codecs[t] = ManyCodecs()[t % ManyCodecs().size()];
    predicted += layout.TensorWireBytes(static_cast<int>(t), plan.codecs[t]);
  }
  std::vector<int64_t> sent(world_.options.world_size);
  world_.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(plan).ok());
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
    const auto stats = RunStep(reducer, Step(1), rank);
    ASSERT_TRUE(stats.ok()) << stats.status();
    sent[rank.value] = stats->sent_bytes;
  });
  EXPECT_DOUBLE_EQ(std::accumulate(sent.begin(), sent.end(), 0.0) / world_.options.world_size,
                   predicted);
}

TEST_P(ReducerWorldTest, TensorsMayBecomeReadyInAnyOrder) {
  world_.Run([&](Rank rank, Reducer& reducer) {
    std::mt19937 random(static_cast<unsigned>(rank.value));
    std::vector<int> order(reducer.layout().tensors().size());
    std::iota(order.begin(), order.end(), 0);
    for (int64_t s = 0; s < 10; ++s) {
      std::shuffle(order.begin(), order.end(), random);
      reducer.BeginStep(Step(s));
      for (int t : order) {
        const absl::Span<float> gradient = reducer.gradient(t);
        for (size_t i = 0; i < gradient.size(); ++i) {
          gradient[i] = TestGradient(Step(s), t, rank, static_cast<int64_t>(i));
        }
        reducer.Ready(t);
      }
      ASSERT_TRUE(reducer.Finish().ok());
      EXPECT_EQ(AllGradients(reducer), NaiveMean(reducer.layout(), Step(s)));
    }
  });
}

TEST_P(ReducerWorldTest, UnusedTensorsCountAsZero) {
  const float world_size = static_cast<float>(GetParam());
  world_.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());  // leaves values behind
    reducer.BeginStep(Step(1));
    if (rank == Rank(0)) {  // the others do not use tensor 3
      std::fill(reducer.gradient(3).begin(), reducer.gradient(3).end(), 1.0f);
      reducer.Ready(3);
    }
    ASSERT_TRUE(reducer.Finish().ok());
    EXPECT_THAT(reducer.gradient(3), Each(1.0f / world_size));
    EXPECT_THAT(reducer.gradient(0), Each(0.0f));
  });
}

TEST_P(ReducerWorldTest, MeansBetweenStepsAreTheSameOnAllRanks) {
  const int world_size = GetParam();
  world_.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 3; ++s) {
      ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
      for (int n = 0; n < 2; ++n) {
        std::vector<float> data(101, static_cast<float>(rank.value * 2 + n));
        ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(data)).ok());
        EXPECT_THAT(data, Each(testing::FloatEq(static_cast<float>(world_size - 1 + n))));
      }
    }
  });
}

TEST_P(ReducerWorldTest, MeansBetweenGradientsChangeNeitherThemNorWhatTheyCost) {
  const int world_size = GetParam();
  const BucketLayout layout = world_.Layout();
  const int tensors = static_cast<int>(layout.tensors().size());
  world_.Run([&](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 20; ++s) {
      const auto plain = RunStep(reducer, Step(2 * s), rank);
      ASSERT_TRUE(plain.ok()) << plain.status();
      const Step step(2 * s + 1);
      reducer.BeginStep(step);
      int64_t number = 0;
      for (int t = 0; t < tensors; ++t) {
        for (int64_t n = 0; n < (s + t) % 3; ++n) {
          std::vector<float> data(17 + t, static_cast<float>(rank.value * 2 + number++));
          ASSERT_TRUE(reducer.AllReduceMean(absl::MakeSpan(data)).ok());
          EXPECT_THAT(data, Each(testing::FloatEq(static_cast<float>(world_size + number - 2))));
        }
        const absl::Span<float> gradient = reducer.gradient(t);
        for (size_t i = 0; i < gradient.size(); ++i) {
          gradient[i] = TestGradient(step, t, rank, static_cast<int64_t>(i));
        }
        reducer.Ready(t);
      }
      const auto stats = reducer.Finish();
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->sent_bytes, plain->sent_bytes);
      EXPECT_EQ(AllGradients(reducer), NaiveMean(layout, step));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Worlds, ReducerWorldTest, testing::Values(1, 2, 3, 4, 7, 8));

TEST(Reducer, StochasticRoundingDependsOnTheSeed) {
  World world = MakeWorld(2);
  const CodecPlan plan =
      UniformPlan(world.Layout(), 1, Step(0), {CodecKind::kMaxMin, 4, 512, true});
  const Results one = RunSteps(world, plan, 2);
  world.options.seed = 1;
  EXPECT_NE(one, RunSteps(world, plan, 2));
}

TEST(Reducer, TensorsThatShareABucketUseTheirOwnCodecs) {
  const World world = MakeWorld(3);
  const BucketLayout layout = world.Layout();
  ASSERT_EQ(layout.places()[0].bucket, layout.places()[1].bucket);
  CodecPlan plan = UniformPlan(layout, 1, Step(0), {});
  plan.codecs[1] = {CodecKind::kMaxMin, 4, 512};
  const std::vector<float> result = RunSteps(world, plan, 2)[0][1];
  const std::vector<float> exact = NaiveMean(layout, Step(1));
  const auto raw = static_cast<size_t>(layout.tensors()[0].elements);
  const auto quantised = static_cast<size_t>(layout.tensors()[1].elements);
  for (size_t i = 0; i < result.size(); ++i) {
    if (i < raw || i >= raw + quantised) {
      EXPECT_EQ(result[i], exact[i]);
    } else {
      // Half a step from each of two senders and the owner; a step is (max - min) / 15 at most.
      EXPECT_NEAR(result[i], exact[i], 1.5 * 2.0 / 15);
    }
  }
  EXPECT_FALSE(
      std::equal(exact.begin() + raw, exact.begin() + raw + quantised, result.begin() + raw));
}

TEST(Reducer, AForgottenResidualIsZeroAndTheOthersStay) {
  const World world = MakeWorld(3);
  world.Run([&](Rank rank, Reducer& reducer) {
    const CodecConfig codec = {CodecKind::kMaxMin, 4, 512};
    ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), codec)).ok());
    for (int64_t s = 0; s < 3; ++s) ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
    std::vector<float> expected = reducer.residual(1);
    const std::vector<float> other = reducer.residual(0);
    ASSERT_TRUE(std::any_of(expected.begin() + 2, expected.begin() + 9,
                            [](float value) { return value != 0; }));
    std::fill(expected.begin() + 2, expected.begin() + 5, 0.0f);
    std::fill(expected.begin() + 7, expected.begin() + 9, 0.0f);
    ASSERT_TRUE(reducer.ForgetResidual(1, {{2, 5}, {7, 9}}).ok());
    EXPECT_EQ(reducer.residual(1), expected);
    EXPECT_EQ(reducer.residual(0), other);
    ASSERT_TRUE(RunStep(reducer, Step(3), rank).ok());
  });
}

TEST(Reducer, ANaNReachesEveryRankUnderEveryCodec) {
  const World world = MakeWorld(3);
  for (const CodecConfig& codec : ManyCodecs()) {
    if (codec.kind == CodecKind::kDrop) continue;  // sends nothing
    world.Run([&](Rank rank, Reducer& reducer) {
      ASSERT_TRUE(reducer.OfferPlan(UniformPlan(reducer.layout(), 1, Step(0), codec)).ok());
      ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
      reducer.BeginStep(Step(1));
      std::fill(reducer.gradient(3).begin(), reducer.gradient(3).end(), 0.0f);
      if (rank == Rank(2)) reducer.gradient(3)[17] = std::numeric_limits<float>::quiet_NaN();
      reducer.Ready(3);
      ASSERT_TRUE(reducer.Finish().ok());
      EXPECT_TRUE(std::isnan(reducer.gradient(3)[17])) << ToString(codec) << ToString(rank);
      EXPECT_FALSE(std::isnan(reducer.gradient(4)[0])) << "another tensor";
    });
  }
}

TEST(Reducer, GradientsAreAlignedAndStayInPlace) {
  World world = MakeWorld(2);
  world.Run([&](Rank rank, Reducer& reducer) {
    const float* const before = reducer.gradient(0).data();
    for (const auto& bucket : reducer.layout().buckets()) {
      const auto address =
          reinterpret_cast<uintptr_t>(reducer.gradient(bucket.tensors.front()).data());
      EXPECT_EQ(address % 64, 0u);
    }
    ASSERT_TRUE(RunStep(reducer, Step(0), rank).ok());
    EXPECT_EQ(reducer.gradient(0).data(), before);
  });
}

TEST(Reducer, StatsMeasureTheStep) {
  MakeWorld(2).Run([&](Rank rank, Reducer& reducer) {
    const auto stats = RunStep(reducer, Step(0), rank);
    ASSERT_TRUE(stats.ok()) << stats.status();
    EXPECT_GT(stats->communication, absl::ZeroDuration());
    EXPECT_GT(stats->encode, absl::ZeroDuration());
    EXPECT_GE(stats->exposed, absl::ZeroDuration());
    EXPECT_LE(stats->encode, stats->communication);
  });
}

TEST(Reducer, BucketTimesAreInOrder) {
  MakeWorld(3).Run([](Rank rank, Reducer& reducer) {
    for (int64_t s = 0; s < 3; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      const absl::Span<const BucketTimes> buckets = reducer.bucket_times();
      ASSERT_EQ(buckets.size(), reducer.layout().buckets().size());
      absl::Duration encode;
      for (const BucketTimes& bucket : buckets) {
        EXPECT_GT(bucket.ready, absl::ZeroDuration());
        EXPECT_LE(bucket.ready, bucket.started);
        EXPECT_LE(bucket.started, bucket.received);
        EXPECT_LE(bucket.received, bucket.reduced);
        EXPECT_GT(bucket.encode, absl::ZeroDuration());
        EXPECT_GT(bucket.decode, absl::ZeroDuration());
        EXPECT_GE(bucket.wire(), absl::ZeroDuration());
        EXPECT_GE(bucket.exposed, absl::ZeroDuration());
        EXPECT_LE(bucket.exposed, bucket.reduced - bucket.started);
        EXPECT_LE(bucket.exposed, stats->exposed);
        encode += bucket.encode + bucket.decode;
      }
      EXPECT_EQ(stats->encode, encode);
    }
  });
}

TEST(Reducer, LinksAreLearntFromTransfers) {
  World world = MakeWorld(2);
  world.tensors.push_back({"large", 100000});  // long and short messages
  world.Run([](Rank rank, Reducer& reducer) {
    EXPECT_FALSE(reducer.link(Rank(1 - rank.value)).has_value());
    for (int64_t s = 0; s < 30; ++s) ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
    const std::optional<LinkEstimate> link = reducer.link(Rank(1 - rank.value));
    ASSERT_TRUE(link.has_value());
    EXPECT_GE(link->latency_seconds, 0);
    EXPECT_GT(link->bytes_per_second, 0);
    EXPECT_GT(link->observations, 30);
    EXPECT_FALSE(reducer.link(rank).has_value());
  });
}

TEST(Reducer, AWorldOfOneSendsNothingAndKeepsItsGradients) {
  World world = MakeWorld(1);
  world.options.window_steps = 1;  // nobody measures a world of one
  world.Run([&](Rank rank, Reducer& reducer) {
    const CodecPlan plan = UniformPlan(reducer.layout(), 1, Step(0), {CodecKind::kMaxMin, 1, 64});
    ASSERT_TRUE(reducer.OfferPlan(plan).ok());
    for (int64_t s = 0; s < 3; ++s) {
      const auto stats = RunStep(reducer, Step(s), rank);
      ASSERT_TRUE(stats.ok()) << stats.status();
      EXPECT_EQ(stats->sent_bytes, 0);
      EXPECT_EQ(stats->plan_version, s == 0 ? 0u : 1u);
      EXPECT_EQ(AllGradients(reducer), NaiveMean(reducer.layout(), Step(s)));
    }
    EXPECT_THAT(reducer.residual(3), Each(0.0f));
  });
}

TEST(Reducer, CreateRefusesContradictions) {
  const World world = MakeWorld(2);
  const auto refusal = [&](const Reducer::Options& options, int peers) {
    auto transports = CreateInprocTransports(peers);
    return Reducer::Create(options, world.Layout(),
                           [&]() -> absl::StatusOr<std::unique_ptr<Transport>> {
                             return std::move(transports[0]);
                           })
        .status();
  };
  EXPECT_TRUE(refusal(world.options, 2).ok());
  Reducer::Options options = world.options;
  options.world_size = 3;
  EXPECT_THAT(std::string(refusal(options, 3).message()), HasSubstr("layout is for 2"));
  EXPECT_THAT(std::string(refusal(world.options, 1).message()), HasSubstr("and 2 peers"));
  options = world.options;
  options.window_steps = 5;
  EXPECT_THAT(std::string(refusal(options, 2).message()), HasSubstr("and 3 peers"));
  options.window_decay = 0;
  EXPECT_THAT(std::string(refusal(options, 3).message()), HasSubstr("window_decay 0"));
  options = world.options;
  options.window_steps = -1;
  EXPECT_THAT(std::string(refusal(options, 3).message()), HasSubstr("window_steps -1"));
  options = world.options;
  options.timeout = absl::ZeroDuration();
  EXPECT_THAT(std::string(refusal(options, 2).message()), HasSubstr("timeout 0"));
}

TEST(Reducer, CreateReturnsTheFactorysError) {
  const World world = MakeWorld(2);
  const auto reducer = Reducer::Create(world.options, world.Layout(),
                                       []() -> absl::StatusOr<std::unique_ptr<Transport>> {
                                         return absl::UnavailableError("rank 1 cannot be reached");
                                       });
  EXPECT_EQ(reducer.status(), absl::UnavailableError("rank 1 cannot be reached"));
}

TEST(Reducer, TheTransportIsMadeAndDestroyedOnOneNamedThread) {
  struct Witness {
    std::thread::id made, destroyed;
    std::string name;
  } witness;
  class WitnessTransport : public ForwardingTransport {
   public:
    WitnessTransport(std::unique_ptr<Transport> inner, Witness& witness)
        : ForwardingTransport(std::move(inner)), witness_(witness) {}
    ~WitnessTransport() override { witness_.destroyed = std::this_thread::get_id(); }

   private:
    Witness& witness_;
  };
  World world = MakeWorld(1);
  world.wrap = [&](Rank, std::unique_ptr<Transport> inner) -> std::unique_ptr<Transport> {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof(name));
    witness.name = name;
    witness.made = std::this_thread::get_id();
    return std::make_unique<WitnessTransport>(std::move(inner), witness);
  };
  world.Run([](Rank rank, Reducer& reducer) { EXPECT_TRUE(RunStep(reducer, Step(0), rank).ok()); });
  EXPECT_EQ(witness.name, "sluice-comm");
  EXPECT_EQ(witness.made, witness.destroyed);
}

}  // namespace
}  // namespace sluice
