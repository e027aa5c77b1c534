#include "comm/codec/top_k_places.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

// `kept` places below `elements`, spread evenly or bunched at either end.
std::vector<std::vector<uint32_t>> SomePlaces(uint64_t elements, size_t kept) {
  std::vector<uint32_t> low(kept), high(kept), even(kept);
  std::set<uint32_t> random;
  for (size_t i = 0; i < kept; ++i) {
    low[i] = static_cast<uint32_t>(i);
    high[i] = static_cast<uint32_t>(elements - kept + i);
    even[i] = static_cast<uint32_t>(elements * i / kept);
  }
  const RandomKey key = RandomKey(1).With(elements).With(kept);
  for (uint64_t i = 0; random.size() < kept; ++i) {
    random.insert(static_cast<uint32_t>(key.Below(i, elements)));
  }
  return {low, high, even, {random.begin(), random.end()}};
}

void ExpectRoundTrip(uint64_t elements, uint32_t density_ppm) {
  const TopKLayout layout = TopKLayoutOf(elements, density_ppm, 32);
  for (const std::vector<uint32_t>& places : SomePlaces(elements, layout.kept)) {
    // Heap memory of the exact length, so that the address sanitizer watches its end.
    std::vector<uint8_t> bytes(layout.low_bytes + layout.bitmap_bytes, 0xa5);
    TopKPlaceWriter writer(layout, bytes.data());
    const size_t first = std::min<size_t>(places.size(), 77);
    writer.Append(places.data(), first);
    writer.Append(places.data() + first, places.size() - first);
    writer.Finish();
    ASSERT_EQ(FaultOfTopKPlaces(layout, bytes.data()), nullptr) << elements << " " << layout.kept;
    std::vector<uint32_t> read(places.size());
    TopKPlaceReader reader(layout, bytes.data());
    reader.Read(read.data(), first);
    reader.Read(read.data() + first, read.size() - first);
    ASSERT_EQ(read, places) << elements << " " << layout.kept;
  }
}

TEST(TopKPlaces, ReadBackAsWritten) {
  for (uint64_t elements = 1; elements < 130; ++elements) {
    for (uint32_t density_ppm : {1u, 20000u, 90000u, 240000u, 400000u, 700000u, 1000000u}) {
      ExpectRoundTrip(elements, density_ppm);
    }
  }
  for (uint64_t elements : {1000, 4095, 4096, 4097, 65537}) {
    for (uint32_t density_ppm : {1u, 1000u, 30000u, 125000u, 260000u, 1000000u}) {
      ExpectRoundTrip(elements, density_ppm);
    }
  }
}

TEST(TopKPlaces, OfFourThousandMillionElementsReadBackToo) {
  ExpectRoundTrip(0xffffffffu, 1);
  ExpectRoundTrip(uint64_t{1} << 31, 1);
}

TEST(TopKLayout, HasOneEntryAtLeastAndAllAtMost) {
  EXPECT_EQ(TopKKept(0, 10000), 0u);
  EXPECT_EQ(TopKKept(1, 1), 1u);
  EXPECT_EQ(TopKKept(100, 10000), 1u);
  EXPECT_EQ(TopKKept(101, 10000), 2u) << "rounded up";
  EXPECT_EQ(TopKKept(12345, 1000000), 12345u);
  EXPECT_EQ(TopKKept(0xffffffffu, 1000000), 0xffffffffu);
}

TEST(TopKLayout, LowPartsPayBelowAQuarter) {
  EXPECT_TRUE(TopKLayoutOf(100000, 10000, 32).has_low_parts);
  EXPECT_TRUE(TopKLayoutOf(100000, 190000, 32).has_low_parts);
  EXPECT_FALSE(TopKLayoutOf(100000, 260000, 32).has_low_parts);
  EXPECT_FALSE(TopKLayoutOf(100000, 1000000, 32).has_low_parts);
}

TEST(TopKLayout, AnotherWidthOfLowPartsWouldNotBeShorter) {
  for (uint64_t elements : {100, 1000, 99999, 1 << 20}) {
    for (uint32_t density_ppm = 1; density_ppm < 250000; density_ppm += 1 + density_ppm / 2) {
      const TopKLayout layout = TopKLayoutOf(elements, density_ppm, 32);
      if (!layout.has_low_parts) continue;
      const size_t chosen = layout.kept * layout.low_bits + layout.bitmap_bits;
      for (int bits = 0; bits < 32; ++bits) {
        EXPECT_LE(chosen, layout.kept * bits + layout.kept + ((elements - 1) >> bits) + 1);
      }
    }
  }
}

}  // namespace
}  // namespace sluice
