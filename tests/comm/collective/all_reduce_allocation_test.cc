#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "comm/collective/all_reduce.h"
#include "gtest/gtest.h"
#include "tests/comm/collective/all_reduce_cases.h"
#include "tests/comm/transport/transport_mesh.h"

// Every allocation of the process goes through these; those of a thread count while it wants that.
namespace {

std::atomic<int> allocations{0};
thread_local bool counting = false;

void* Allocate(size_t size) {
  if (counting) ++allocations;
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

class NotCounted {
 public:
  NotCounted() { counting = false; }
  ~NotCounted() { counting = before_; }

 private:
  const bool before_ = counting;
};

// What the transport in the middle allocates is its own business.
class UncountedTransport : public Transport {
 public:
  explicit UncountedTransport(Transport& inner) : inner_(inner) {}

  Rank self() const override { return inner_.self(); }
  int peers() const override { return inner_.peers(); }
  RequestId Send(Rank to, MessageTag tag, absl::Span<const std::byte> bytes) override {
    const NotCounted pause;
    return inner_.Send(to, tag, bytes);
  }
  RequestId Receive(Rank from, MessageTag tag, absl::Span<std::byte> bytes) override {
    const NotCounted pause;
    return inner_.Receive(from, tag, bytes);
  }
  std::optional<absl::Status> Test(RequestId request) override {
    const NotCounted pause;
    return inner_.Test(request);
  }
  absl::Status Wait(RequestId request, absl::Time deadline) override {
    const NotCounted pause;
    return inner_.Wait(request, deadline);
  }
  std::optional<size_t> WaitAny(absl::Span<const RequestId> requests,
                                absl::Time deadline) override {
    const NotCounted pause;
    return inner_.WaitAny(requests, deadline);
  }
  void Wake() override { inner_.Wake(); }
  void Abort(absl::string_view reason) override { inner_.Abort(reason); }
  TransportCounters counters() const override { return inner_.counters(); }

 private:
  Transport& inner_;
};

TEST(AllReduceAllocation, TheCounterCounts) {
  const int before = allocations;
  counting = true;
  ::operator delete(::operator new(1));
  counting = false;
  EXPECT_EQ(allocations, before + 1);
}

TEST(AllReduceAllocation, CallsAfterTheLargestOneAllocateNothing) {
  constexpr int kRanks = 4;
  std::vector<AllReduceCase> cases = AllReduceCases(kRanks);
  cases.push_back({"auto", AllReduceAlgorithm::kAuto, {0, 0, 1, 1}});
  const int before = allocations;
  RunRanks(CreateMesh(MeshKind::kInproc, kRanks), [&](Transport& inner, int rank) {
    UncountedTransport transport(inner);
    uint32_t operation = 0;
    for (const AllReduceCase& all_reduce : cases) {
      AllReduceBuffers buffers;
      AllReduceOptions options = all_reduce.options();
      options.chunk_bytes = 1024;
      std::vector<float> data = RoughNumbers(rank, 20000);
      bool good = AllReduce({transport, kRanks, operation++, Never()}, options,
                            absl::MakeSpan(data), buffers)
                      .ok();
      counting = true;
      for (size_t elements : {20000u, 100u, 7000u, 20000u}) {
        good = good && AllReduce({transport, kRanks, operation++, Never()}, options,
                                 absl::MakeSpan(data).first(elements), buffers)
                           .ok();
      }
      counting = false;
      EXPECT_TRUE(good) << all_reduce;
    }
  });
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace sluice
