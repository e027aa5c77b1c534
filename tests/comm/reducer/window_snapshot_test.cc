#include "comm/reducer/window_snapshot.h"

#include <cstring>
#include <future>
#include <string>

#include "absl/synchronization/mutex.h"
#include "comm/reducer/frame_header.h"
#include "comm/reducer/reducer.h"
#include "comm/transport/inproc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/forwarding_transport.h"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

constexpr int kRanks = 2;
constexpr Rank kProfiler(kRanks);
const absl::Time kPast = absl::InfinitePast();

// Bucket 0 holds both tensors: chunk 0 is a[0, 4), chunk 1 is a[4, 6) and b[0, 2).
BucketLayout SmallLayout() { return *BucketLayout::Create({{"a", 6}, {"b", 2}}, 1024, kRanks); }

// Sends never finish while `blocked`.
class SlowTransport : public ForwardingTransport {
 public:
  using ForwardingTransport::ForwardingTransport;
  std::optional<absl::Status> Test(RequestId request) override {
    if (blocked) return std::nullopt;
    return ForwardingTransport::Test(request);
  }
  bool blocked = false;
};

class WindowSnapshotTest : public testing::Test {
 protected:
  // One step in which every element of rank `r`'s chunk is `value`.
  absl::Status Step1(int r, int64_t step, float value) {
    const std::vector<float> chunk(layout_.buckets()[0].chunks[r].range.size(), value);
    senders_[r].Add(Step(step), 0, layout_.buckets()[0].chunks[r].range.begin, chunk);
    return senders_[r].EndStep(Step(step), *transports_[r]);
  }

  // A whole part of rank `r` as it would be on the wire.
  std::vector<std::byte> Message(int r, int64_t window, int64_t last_step) {
    const int64_t floats = layout_.buckets()[0].chunks[r].range.size();
    std::vector<std::byte> message(kSnapshotHeaderBytes + floats * sizeof(float));
    WriteSnapshotHeader({window, Step(last_step), floats}, absl::MakeSpan(message));
    return message;
  }
  void Send(int r, absl::Span<const std::byte> message) {
    const RequestId request = transports_[r]->Send(kProfiler, kSnapshotTag, message);
    ASSERT_TRUE(transports_[r]->Wait(request, absl::InfiniteFuture()).ok());
  }

  const BucketLayout layout_ = SmallLayout();
  std::vector<std::unique_ptr<Transport>> transports_ = CreateInprocTransports(kRanks + 1);
  std::vector<SnapshotSender> senders_ = {SnapshotSender(layout_, Rank(0), kProfiler, 2, 0.5),
                                          SnapshotSender(layout_, Rank(1), kProfiler, 2, 0.5)};
  SnapshotReceiver receiver_{layout_, *transports_[kRanks]};
};

TEST_F(WindowSnapshotTest, IsTheWeightedMeanOfItsStepsPutTogether) {
  ASSERT_TRUE(Step1(0, 0, 3).ok());
  ASSERT_TRUE(Step1(0, 1, 6).ok());
  ASSERT_TRUE(Step1(1, 0, 30).ok());
  ASSERT_TRUE(Step1(1, 1, 60).ok());
  const auto snapshot = receiver_.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->window, 0);
  EXPECT_EQ(snapshot->last_step, Step(1));
  // (0.5 * 3 + 6) / 1.5 = 5
  EXPECT_THAT(snapshot->tensors[0], ElementsAre(5, 5, 5, 5, 50, 50));
  EXPECT_THAT(snapshot->tensors[1], ElementsAre(50, 50));
}

TEST_F(WindowSnapshotTest, EachWindowStartsFromZero) {
  for (int64_t s = 0; s < 4; ++s) {
    for (int r = 0; r < kRanks; ++r) ASSERT_TRUE(Step1(r, s, s < 2 ? 100.0f : 7.0f).ok());
  }
  ASSERT_TRUE(receiver_.Receive(kPast).ok());
  const auto snapshot = receiver_.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->window, 1);
  EXPECT_EQ(snapshot->last_step, Step(3));
  EXPECT_THAT(snapshot->tensors[0], Each(7.0f));
}

TEST_F(WindowSnapshotTest, AJobThatStartsWithinAWindowAveragesWhatItSaw) {
  for (int r = 0; r < kRanks; ++r) ASSERT_TRUE(Step1(r, 5, 8).ok());
  const auto snapshot = receiver_.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->window, 2);
  EXPECT_THAT(snapshot->tensors[0], Each(8.0f));
}

TEST_F(WindowSnapshotTest, AnUnfinishedWindowIsDiscardedWhenAnotherBegins) {
  for (int r = 0; r < kRanks; ++r) {
    ASSERT_TRUE(Step1(r, 0, 100).ok());
    ASSERT_TRUE(Step1(r, 2, 1).ok());
    ASSERT_TRUE(Step1(r, 3, 1).ok());
  }
  const auto snapshot = receiver_.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->window, 1);
  EXPECT_THAT(snapshot->tensors[0], Each(1.0f));
}

TEST_F(WindowSnapshotTest, AWindowThatOneRankSkippedIsSkippedByAll) {
  auto slow = std::make_unique<SlowTransport>(std::move(transports_[0]));
  SlowTransport& rank0 = *slow;
  transports_[0] = std::move(slow);
  for (int64_t s = 0; s < 6; ++s) {
    rank0.blocked = 1 <= s && s <= 3;  // window 0 has not left when window 1 ends
    for (int r = 0; r < kRanks; ++r) {
      ASSERT_TRUE(Step1(r, s, static_cast<float>(s / 2)).ok());
    }
  }
  EXPECT_EQ(receiver_.Receive(kPast)->window, 0);
  const auto snapshot = receiver_.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(snapshot->window, 2);
  EXPECT_THAT(snapshot->tensors[0], Each(2.0f));
  EXPECT_EQ(receiver_.Receive(kPast).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(WindowSnapshotTest, APartThatArrivedEarlyIsKeptForTheNextCall) {
  ASSERT_TRUE(Step1(1, 1, 4).ok());
  EXPECT_EQ(receiver_.Receive(kPast).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(Step1(0, 1, 4).ok());
  const auto snapshot = receiver_.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_THAT(snapshot->tensors[1], Each(4.0f));
}

TEST_F(WindowSnapshotTest, MalformedPartsAreRefusedWithTheirRankAndThrownAway) {
  struct Damage {
    size_t offset;
    unsigned char flip;
    std::string says;
  };
  const Damage damages[] = {{0, 1, "does not start with"}, {4, 2, "format 3, expected 1"},
                            {15, 0x80, "negative"},        {23, 0x80, "negative"},
                            {24, 1, "says 5 floats"},      {31, 0xff, "floats"}};
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.says);
    std::vector<std::byte> message = Message(1, 0, 1);
    message[damage.offset] ^= std::byte{damage.flip};
    Send(1, message);
    const absl::Status status = receiver_.Receive(kPast).status();
    // Rank 0 has sent nothing: its deadline comes first, rank 1's part is looked at all the same.
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  }
  std::vector<std::byte> good = Message(0, 0, 1);
  Send(0, good);
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.says);
    std::vector<std::byte> message = Message(1, 0, 1);
    message[damage.offset] ^= std::byte{damage.flip};
    Send(1, message);
    const absl::Status status = receiver_.Receive(kPast).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("from rank 1"), HasSubstr(damage.says)));
  }
  Send(1, Message(1, 0, 1));
  EXPECT_TRUE(receiver_.Receive(kPast).ok());
}

TEST_F(WindowSnapshotTest, APartOfAnotherLengthIsDataLoss) {
  Send(0, Message(0, 0, 1));
  std::vector<std::byte> longer = Message(1, 0, 1);
  longer.resize(longer.size() + 4);
  Send(1, longer);
  const absl::Status status = receiver_.Receive(kPast).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1"));
}

TEST_F(WindowSnapshotTest, PartsThatContradictEachOtherAreDataLoss) {
  Send(0, Message(0, 0, 1));
  Send(1, Message(1, 0, 3));
  const absl::Status status = receiver_.Receive(kPast).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("from rank 1"), HasSubstr("step 3"), HasSubstr("step 1")));
}

TEST_F(WindowSnapshotTest, WindowsOfARankMustAdvance) {
  for (int r = 0; r < kRanks; ++r) Send(r, Message(r, 4, 9));
  ASSERT_TRUE(receiver_.Receive(kPast).ok());
  for (int r = 0; r < kRanks; ++r) Send(r, Message(r, 4, 9));
  const absl::Status status = receiver_.Receive(kPast).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("window 4 after window 4"));
}

TEST_F(WindowSnapshotTest, ALostRankIsReported) {
  transports_[0].reset();
  const absl::Status status = receiver_.Receive(absl::InfiniteFuture()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0"));
}

TEST_F(WindowSnapshotTest, ALostProfilerIsAnErrorOfTheSender) {
  transports_[kRanks].reset();
  ASSERT_TRUE(Step1(0, 0, 1).ok());
  EXPECT_EQ(Step1(0, 1, 1).code(), absl::StatusCode::kUnavailable);
}

// Tensor a, the larger one, is profiler 0's, b profiler 1's.
class TwoProfilersTest : public testing::Test {
 protected:
  absl::Status Window(int r, int64_t window, float value) {
    const ElementRange chunk = layout_.buckets()[0].chunks[r].range;
    senders_[r].Add(Step(window), 0, chunk.begin,
                    std::vector<float>(static_cast<size_t>(chunk.size()), value));
    return senders_[r].EndStep(Step(window), *transports_[r]);
  }

  const BucketLayout layout_ = SmallLayout();
  std::vector<std::unique_ptr<Transport>> transports_ = CreateInprocTransports(kRanks + 2);
  std::vector<SnapshotSender> senders_ = {SnapshotSender(layout_, Rank(0), kProfiler, 1, 1, 2),
                                          SnapshotSender(layout_, Rank(1), kProfiler, 1, 1, 2)};
};

TEST_F(TwoProfilersTest, EachGetsItsTensorsAlone) {
  ASSERT_TRUE(Window(0, 0, 3).ok());
  ASSERT_TRUE(Window(1, 0, 7).ok());
  SnapshotReceiver first(layout_, *transports_[kRanks]);
  SnapshotReceiver second(layout_, *transports_[kRanks + 1]);
  const auto of_a = first.Receive(kPast);
  ASSERT_TRUE(of_a.ok()) << of_a.status();
  EXPECT_THAT(of_a->tensors[0], ElementsAre(3, 3, 3, 3, 7, 7));
  EXPECT_TRUE(of_a->tensors[1].empty());
  const auto of_b = second.Receive(kPast);
  ASSERT_TRUE(of_b.ok()) << of_b.status();
  EXPECT_EQ(of_b->last_step, Step(0));
  EXPECT_TRUE(of_b->tensors[0].empty());
  EXPECT_THAT(of_b->tensors[1], ElementsAre(7, 7));
}

TEST_F(TwoProfilersTest, TheLossOfOneLeavesTheOther) {
  transports_[kRanks].reset();
  EXPECT_EQ(Window(0, 0, 3).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Window(1, 0, 7).code(), absl::StatusCode::kUnavailable);
  for (int64_t w : {1, 2}) {
    for (int r = 0; r < kRanks; ++r) EXPECT_TRUE(Window(r, w, static_cast<float>(w)).ok());
  }
  SnapshotReceiver second(layout_, *transports_[kRanks + 1]);
  for (int64_t w : {0, 1, 2}) {
    const auto snapshot = second.Receive(kPast);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    EXPECT_EQ(snapshot->window, w);
  }
}

TEST_F(TwoProfilersTest, APartThatIsSentAgainIsThatOfBoth) {
  for (int r = 0; r < kRanks; ++r) ASSERT_TRUE(Window(r, 4, 5).ok());
  std::vector<std::unique_ptr<Transport>> others = CreateInprocTransports(kRanks + 1);
  for (int r = 0; r < kRanks; ++r) {
    ReducerState state;
    senders_[r].Save(state);
    state.chunk_key = ChunkKey(layout_);
    // One profiler takes what two were sent.
    SnapshotSender resumed(layout_, Rank(r), kProfiler, 1, 1);
    ASSERT_TRUE(resumed.Load(state).ok());
    ASSERT_TRUE(resumed.SendAgain(3, *others[r]).ok());
  }
  SnapshotReceiver receiver(layout_, *others[kRanks]);
  const auto snapshot = receiver.Receive(kPast);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_THAT(snapshot->tensors[0], Each(5.0f));
  EXPECT_THAT(snapshot->tensors[1], Each(5.0f));
}

World MakeWorld() {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.options.world_size = 3;
  world.options.window_steps = 4;
  world.options.window_decay = 0.9;
  world.further_peers = 1;
  return world;
}

TEST(ReducerWindows, TheProfilerGetsTheMeanGradientOfAWindow) {
  const World world = MakeWorld();
  const BucketLayout layout = world.Layout();
  std::vector<double> expected;
  double weights = 0;
  for (int64_t s = 4; s < 8; ++s) {
    const std::vector<float> mean = NaiveMean(layout, Step(s));
    expected.resize(mean.size());
    weights = weights * 0.9 + 1;
    for (size_t i = 0; i < mean.size(); ++i) expected[i] = expected[i] * 0.9 + mean[i];
  }
  std::promise<void> received;
  const auto wait = received.get_future().share();
  world.Run(
      [&](Rank rank, Reducer& reducer) {
        for (int64_t s = 0; s < 8; ++s) {
          const auto stats = RunStep(reducer, Step(s), rank);
          ASSERT_TRUE(stats.ok()) << stats.status();
          int64_t gradients = 0;  // to each of two others in each round
          for (size_t b = 0; b < layout.buckets().size(); ++b) {
            for (int c = 0; c < 3; ++c) {
              for (const auto& segment : layout.buckets()[b].chunks[c].segments) {
                size_t bytes = kFrameHeaderBytes;
                for (const Piece& piece : segment)
                  bytes += EncodedBytes({}, piece.in_tensor.size());
                gradients += static_cast<int64_t>(bytes) * (c == rank.value ? 2 : 1);
              }
            }
          }
          EXPECT_EQ(stats->sent_bytes, gradients) << "windows do not count";
        }
        wait.wait();
      },
      [&](Transport& transport) {
        SnapshotReceiver receiver(layout, transport);
        EXPECT_EQ(receiver.Receive(absl::InfiniteFuture())->window, 0);
        const auto snapshot = receiver.Receive(absl::InfiniteFuture());
        received.set_value();
        ASSERT_TRUE(snapshot.ok()) << snapshot.status();
        EXPECT_EQ(snapshot->window, 1);
        EXPECT_EQ(snapshot->last_step, Step(7));
        size_t i = 0;
        for (const auto& tensor : snapshot->tensors) {
          for (float value : tensor) EXPECT_NEAR(value, expected[i++] / weights, 1e-6);
        }
        EXPECT_EQ(i, expected.size());
      });
}

// The law behind the estimate: result + residuals of all ranks = sum of the inputs.
TEST(ReducerWindows, TheProfilerLearnsWhatTheLastStepLost) {
  World world = MakeWorld();
  world.tensors = {{"large", 40000, 200}, {"small", 60, 60}};
  world.options.window_steps = 2;
  const BucketLayout layout = world.Layout();
  std::promise<void> received;
  const auto wait = received.get_future().share();
  absl::Mutex mu;
  std::vector<double> lost(40000);  // sum of the ranks' residuals
  double estimate = 0;
  world.Run(
      [&](Rank rank, Reducer& reducer) {
        ASSERT_TRUE(
            reducer.OfferPlan(UniformPlan(layout, 1, Step(0), {CodecKind::kMaxMin, 2, 512})).ok());
        for (int64_t s = 0; s < 4; ++s) ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
        const std::vector<float> residual = reducer.residual(0);
        {
          absl::MutexLock lock(&mu);
          for (size_t i = 0; i < lost.size(); ++i) lost[i] += residual[i];
        }
        wait.wait();
      },
      [&](Transport& transport) {
        SnapshotReceiver receiver(layout, transport);
        ASSERT_TRUE(receiver.Receive(absl::InfiniteFuture()).ok());
        const auto snapshot = receiver.Receive(absl::InfiniteFuture());
        received.set_value();
        ASSERT_TRUE(snapshot.ok()) << snapshot.status();
        ASSERT_EQ(snapshot->lost_squared.size(), 2u);
        estimate = snapshot->lost_squared[0];
      });
  double truth = 0;
  for (double one : lost) truth += one * one;
  EXPECT_GT(truth, 0);
  EXPECT_NEAR(estimate / truth, 1, 0.3);  // of 256 samples
}

TEST(ReducerWindows, OfADroppedTensorTheOwnersPartStandsForAll) {
  World world = MakeWorld();
  world.options.error_feedback = false;
  const BucketLayout layout = world.Layout();
  std::promise<void> received;
  const auto wait = received.get_future().share();
  world.Run(
      [&](Rank rank, Reducer& reducer) {
        ASSERT_TRUE(reducer.OfferPlan(UniformPlan(layout, 1, Step(0), {CodecKind::kDrop})).ok());
        for (int64_t s = 0; s < 8; ++s) ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
        wait.wait();
      },
      [&](Transport& transport) {
        SnapshotReceiver receiver(layout, transport);
        EXPECT_EQ(receiver.Receive(absl::InfiniteFuture())->window, 0);
        const auto snapshot = receiver.Receive(absl::InfiniteFuture());
        received.set_value();
        ASSERT_TRUE(snapshot.ok()) << snapshot.status();
        for (const auto& bucket : layout.buckets()) {
          for (int owner = 0; owner < 3; ++owner) {
            for (const auto& segment : bucket.chunks[owner].segments) {
              for (const Piece& piece : segment) {
                const int64_t i = piece.in_tensor.begin;
                double expected = 0, weights = 0;
                for (int64_t s = 4; s < 8; ++s) {
                  weights = weights * 0.9 + 1;
                  expected = expected * 0.9 + TestGradient(Step(s), piece.tensor, Rank(owner), i);
                }
                EXPECT_NEAR(snapshot->tensors[piece.tensor][i], expected / weights, 1e-6);
              }
            }
          }
        }
      });
}

TEST(ReducerWindows, TheLossOfTheProfilerDoesNotStopTraining) {
  const World world = MakeWorld();
  world.Run(
      [&](Rank rank, Reducer& reducer) {
        for (int64_t s = 0; s < 12; ++s) {
          ASSERT_TRUE(RunStep(reducer, Step(s), rank).ok());
          EXPECT_EQ(AllGradients(reducer), NaiveMean(reducer.layout(), Step(s)));
        }
      },
      [](Transport&) {});  // leaves at once
}

}  // namespace
}  // namespace sluice
