#include <cstdlib>
#include <new>
#include <vector>

#include "comm/codec/codec.h"
#include "gtest/gtest.h"
#include "tests/comm/codec/codec_cases.h"
#include "tests/comm/codec/top_k_cases.h"

// Every allocation of the process goes through these; they count while the test wants that.
namespace {

int allocations = 0;
bool counting = false;

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

TEST(TopKAllocation, TheCounterCounts) {
  allocations = 0;
  counting = true;
  ::operator delete(::operator new(1));
  counting = false;
  EXPECT_EQ(allocations, 1);
}

TEST(TopKAllocation, EncodeAndDecodeAllocateNothing) {
  const std::vector<float> values = Gaussian(RandomKey(1), 50000);
  std::vector<float> out(values.size());
  std::vector<std::byte> room(300000);
  for (const CodecConfig& config : TopKCodecs()) {
    const auto record = absl::MakeSpan(room).first(EncodedBytes(config, values.size()));
    bool good = true;
    allocations = 0;
    counting = true;
    Encode(config, values, RandomKey(2), record);
    for (DecodeMode mode : {DecodeMode::kAssign, DecodeMode::kAdd, DecodeMode::kSubtract}) {
      good = good && Decode(config, record, mode, absl::MakeSpan(out)).ok();
    }
    counting = false;
    EXPECT_TRUE(good);
    EXPECT_EQ(allocations, 0) << ToString(config);
  }
}

}  // namespace
}  // namespace sluice
