#include <atomic>
#include <cstdlib>
#include <deque>
#include <new>

#include "comm/reducer/bucket_codec.h"
#include "comm/reducer/plan_ledger.h"
#include "comm/reducer/reducer.h"
#include "comm/reducer/window_snapshot.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/world.h"
#include "tests/comm/transport/transport_mesh.h"

// Every allocation of the process goes through these; those of a thread count while it wants that.
namespace {

std::atomic<int> allocations{0};
thread_local bool counting = false;
std::atomic<bool> counting_everywhere{false};

void* Allocate(size_t size) {
  if (counting || counting_everywhere) ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace sluice {
namespace {

CodecPlan MixedPlan(const BucketLayout& layout) {
  CodecPlan plan = UniformPlan(layout, 1, Step(0), {});
  for (size_t t = 0; t < plan.codecs.size(); ++t) {
    plan.codecs[t] = ManyCodecs()[t % ManyCodecs().size()];
  }
  return plan;
}

class ReducerAllocationTest : public testing::Test {
 protected:
  ReducerAllocationTest() {
    allocations = 0;
    world_.tensors = MixedTensors();
    world_.bucket_bytes = 8192;
    world_.options.world_size = 2;
  }

  World world_;
};

TEST_F(ReducerAllocationTest, TheCounterCounts) {
  counting = true;
  ::operator delete(::operator new(1));
  counting = false;
  EXPECT_EQ(allocations, 1);
}

TEST_F(ReducerAllocationTest, TheStepLoopAllocatesNothingFromTheFirstStepOn) {
  world_.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(MixedPlan(reducer.layout())).ok());
    std::vector<float> statistics(50);
    bool good = true;
    counting = true;
    for (int64_t s = 0; s < 10; ++s) {
      good = good && RunStep(reducer, Step(s), rank).ok() &&
             reducer.AllReduceMean(absl::MakeSpan(statistics)).ok();
    }
    counting = false;
    EXPECT_TRUE(good);
  });
  EXPECT_EQ(allocations, 0);
}

// Step loops, comm threads and our part of the transport; UCX itself is C and allocates elsewhere.
TEST_F(ReducerAllocationTest, AWarmStepOverUcxAllocatesNothingOnAnyThread) {
  world_.connect = [](int peers) { return CreateMesh(MeshKind::kUcxShm, peers); };
  world_.Run([&](Rank rank, Reducer& reducer) {
    ASSERT_TRUE(reducer.OfferPlan(MixedPlan(reducer.layout())).ok());
    float one = 1;
    bool good = true;
    for (int64_t s = 0; s < 20; ++s) good = good && RunStep(reducer, Step(s), rank).ok();
    good = good && reducer.AllReduceMean(absl::MakeSpan(&one, 1)).ok();  // both are warm
    counting_everywhere = true;
    for (int64_t s = 20; s < 40; ++s) good = good && RunStep(reducer, Step(s), rank).ok();
    counting_everywhere = false;
    good = good && reducer.AllReduceMean(absl::MakeSpan(&one, 1)).ok();
    EXPECT_TRUE(good);
  });
  EXPECT_EQ(allocations, 0);
}

// What the comm thread does around the collective and its transport, for two ranks by hand.
TEST_F(ReducerAllocationTest, TheCommThreadAllocatesOnlyAtANewPlan) {
  const BucketLayout layout = world_.Layout();
  std::vector<PlanLedger> ledgers(2, PlanLedger(layout));
  std::vector<SnapshotSender> windows;
  for (int r = 0; r < 2; ++r) windows.emplace_back(layout, Rank(r), Rank(2), 1000, 0.9);
  const int buckets = static_cast<int>(layout.buckets().size());
  std::deque<BucketCodec> codecs[2];
  for (int r = 0; r < 2; ++r) {
    for (int b = 0; b < buckets; ++b) {
      codecs[r].emplace_back(layout, b, BucketCodecOptions{Rank(r), true, 3, &windows[r]});
    }
  }
  std::vector<float> data[2] = {std::vector<float>(5000, 0.25f), std::vector<float>(5000, 0.75f)};
  std::vector<std::byte> frame(1 << 16);
  for (PlanLedger& ledger : ledgers) {
    ASSERT_TRUE(ledger.Offer(MixedPlan(layout)).ok());
    ASSERT_TRUE(ledger.Agree(1).ok());
  }
  for (int r = 0; r < 2; ++r) {
    for (BucketCodec& codec : codecs[r]) codec.UsePlan(ledgers[r].InForce(Step(1)));
  }

  bool good = true;
  counting = true;
  for (int64_t s = 1; s < 10; ++s) {
    for (int b = 0; b < buckets; ++b) {
      for (int r = 0; r < 2; ++r) {
        good = good && ledgers[r].InForce(Step(s)).version == 1;
        const auto elements = static_cast<size_t>(layout.buckets()[b].elements);
        codecs[r][b].Start(Step(s), 1, absl::MakeSpan(data[r]).first(elements));
      }
      for (int r = 0; r < 2; ++r) {
        const auto bytes = absl::MakeSpan(frame).first(codecs[r][b].SegmentBytes(1 - r, 0));
        codecs[r][b].EncodeMine(1 - r, 0, bytes);
        good = good && codecs[1 - r][b].AddReceived(Rank(r), 0, bytes).ok();
      }
      for (int r = 0; r < 2; ++r) {
        const auto bytes = absl::MakeSpan(frame).first(codecs[r][b].SegmentBytes(r, 0));
        codecs[r][b].EncodeSum(0, bytes);
        good = good && codecs[1 - r][b].TakeSum(r, 0, bytes).ok();
      }
      for (int r = 0; r < 2; ++r) {
        codecs[r][b].Finish();
        good = good && ledgers[r].Agree(codecs[r][b].lowest_newest_plan()).ok();
      }
    }
  }
  counting = false;
  EXPECT_TRUE(good);
  EXPECT_EQ(allocations, 0);
}

}  // namespace
}  // namespace sluice
