#include <atomic>
#include <cstdlib>
#include <future>
#include <new>

#include "comm/reducer/reducer.h"
#include "gtest/gtest.h"
#include "tests/comm/reducer/forwarding_transport.h"
#include "tests/comm/reducer/world.h"

// Every allocation of the process goes through these.
namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
thread_local bool in_transport = false;

void* Allocate(size_t size) {
  if (counting.load() && !in_transport) ++allocations;
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

// The inproc transport copies messages; what it allocates does not count.
class UncountedTransport : public ForwardingTransport {
 public:
  using ForwardingTransport::ForwardingTransport;
  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override {
    const Pause pause;
    return ForwardingTransport::Send(to, tag, bytes);
  }
  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override {
    const Pause pause;
    return ForwardingTransport::Receive(from, tag, bytes);
  }
  std::optional<absl::Status> Test(RequestId request) override {
    const Pause pause;
    return ForwardingTransport::Test(request);
  }
  absl::Status Wait(RequestId request, absl::Time deadline) override {
    const Pause pause;
    return ForwardingTransport::Wait(request, deadline);
  }

 private:
  struct Pause {
    Pause() { in_transport = true; }
    ~Pause() { in_transport = false; }
  };
};

TEST(ReducerAllocation, ASteadyStateAllocatesNothing) {
  World world;
  world.tensors = MixedTensors();
  world.bucket_bytes = 8192;
  world.options.world_size = 2;
  world.options.window_steps = 4;
  world.further_peers = 1;  // a profiler that takes nothing; inproc sends are over at once
  world.wrap = [](Rank, std::unique_ptr<Transport> inner) -> std::unique_ptr<Transport> {
    return std::make_unique<UncountedTransport>(std::move(inner));
  };
  std::promise<void> over;
  std::atomic<int> left{0};
  world.Run(
      [&](Rank rank, Reducer& reducer) {
        CodecPlan plan = UniformPlan(reducer.layout(), 1, Step(0), {});
        for (size_t t = 0; t < plan.codecs.size(); ++t) {
          plan.codecs[t] = ManyCodecs()[t % ManyCodecs().size()];
        }
        ASSERT_TRUE(reducer.OfferPlan(plan).ok());
        for (int64_t s = 0; s < 20; ++s) {
          if (s == 4) counting = true;  // raw, the plan and a window have been seen by then
          const bool done = RunStep(reducer, Step(s), rank).ok();
          ASSERT_TRUE(done);
        }
        counting = false;  // the first to arrive; the other one is in its last step
        if (++left == 2) over.set_value();
      },
      [&](Transport&) { over.get_future().wait(); });
  EXPECT_EQ(allocations, 0);
}

TEST(ReducerAllocation, TheCounterCounts) {
  const int before = allocations;
  counting = true;
  ::operator delete(::operator new(1));
  counting = false;
  EXPECT_GT(allocations, before);
}

}  // namespace
}  // namespace sluice
