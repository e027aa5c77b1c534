#include "comm/reducer/bucket_layout.h"

#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "comm/reducer/frame_header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/comm/reducer/world.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<TensorInfo> Tensors(const std::vector<int64_t>& elements) {
  std::vector<TensorInfo> tensors;
  for (int64_t n : elements) tensors.push_back({"t" + std::to_string(tensors.size()), n});
  return tensors;
}

BucketLayout Make(const std::vector<int64_t>& elements, int64_t bucket_bytes, int world_size) {
  auto layout = BucketLayout::Create(Tensors(elements), bucket_bytes, world_size);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *std::move(layout);
}

std::vector<int64_t> ChunkSizes(const BucketLayout::Bucket& bucket) {
  std::vector<int64_t> sizes;
  for (const auto& chunk : bucket.chunks) sizes.push_back(chunk.range.size());
  return sizes;
}

absl::Status Refusal(std::vector<TensorInfo> tensors, int64_t bucket_bytes, int world_size) {
  return BucketLayout::Create(std::move(tensors), bucket_bytes, world_size).status();
}

TEST(BucketLayout, CutsChunksAsInThePublishedExamples) {
  std::ifstream file("tests/comm/reducer/testdata/chunking.json");
  const nlohmann::json cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 6u);
  for (const auto& example : cases) {
    // The example with align 8 is of another element type; its cuts happen to be ours.
    const BucketLayout layout = Make(example["layer_elements"].get<std::vector<int64_t>>(), 1 << 30,
                                     example["ranks"].get<int>());
    ASSERT_EQ(layout.buckets().size(), 1u);
    EXPECT_EQ(ChunkSizes(layout.buckets()[0]),
              example["chunk_elements"].get<std::vector<int64_t>>())
        << example;
  }
}

TEST(BucketLayout, FillsBucketsInOrderWithoutSplittingTensors) {
  const BucketLayout layout = Make({6, 4, 1, 100, 3}, 10 * sizeof(float), 2);
  ASSERT_EQ(layout.buckets().size(), 4u);
  EXPECT_THAT(layout.buckets()[0].tensors, ElementsAre(0, 1));
  EXPECT_THAT(layout.buckets()[1].tensors, ElementsAre(2));
  EXPECT_THAT(layout.buckets()[2].tensors, ElementsAre(3)) << "larger than a bucket";
  EXPECT_THAT(layout.buckets()[3].tensors, ElementsAre(4));
  EXPECT_EQ(layout.places()[1].bucket, 0);
  EXPECT_EQ(layout.places()[1].offset, 6);
}

TEST(BucketLayout, PiecesCoverEveryTensorOnceAndInOrder) {
  for (int world_size : {1, 2, 3, 4, 7, 8, 64}) {
    const BucketLayout layout =
        Make({10, 1300, 33, 5000, 3, 777, 270, 1, 5 * BucketLayout::kSegmentElements + 7, 9}, 8192,
             world_size);
    std::vector<int64_t> covered(layout.tensors().size(), 0);
    for (size_t b = 0; b < layout.buckets().size(); ++b) {
      const auto& bucket = layout.buckets()[b];
      ASSERT_EQ(bucket.chunks.size(), static_cast<size_t>(world_size));
      int64_t at = 0;
      for (const auto& chunk : bucket.chunks) {
        EXPECT_EQ(chunk.range.begin, at);
        ASSERT_FALSE(chunk.segments.empty());
        for (const std::vector<Piece>& segment : chunk.segments) {
          const int64_t begin = at;
          for (const Piece& piece : segment) {
            EXPECT_EQ(piece.bucket_offset, at);
            EXPECT_EQ(piece.in_tensor.begin, covered[piece.tensor]);
            EXPECT_EQ(piece.in_tensor.begin % 4, 0);
            EXPECT_EQ(layout.places()[piece.tensor].offset + piece.in_tensor.begin, at);
            covered[piece.tensor] = piece.in_tensor.end;
            at += piece.in_tensor.size();
          }
          EXPECT_LT(at - begin, BucketLayout::kSegmentElements + 4);
        }
        EXPECT_EQ(chunk.range.end, at);
      }
      EXPECT_EQ(at, bucket.elements);
    }
    for (size_t t = 0; t < covered.size(); ++t) {
      EXPECT_EQ(covered[t], layout.tensors()[t].elements);
    }
  }
}

TEST(BucketLayout, ALongChunkIsCutIntoSegments) {
  const BucketLayout layout = Make({4 * BucketLayout::kSegmentElements + 4}, 1024, 2);
  EXPECT_EQ(layout.buckets()[0].chunks[0].segments.size(), 3u);
  EXPECT_EQ(layout.buckets()[0].chunks[1].segments.size(), 2u);
  EXPECT_DOUBLE_EQ(layout.FixedWireBytes(), 2.0 * 5 * kFrameHeaderBytes / 2);
}

TEST(BucketLayout, AnEmptyChunkHasOneEmptySegment) {
  const BucketLayout layout = Make({5}, 1024, 4);
  ASSERT_EQ(layout.buckets()[0].chunks[1].segments.size(), 1u);
  EXPECT_TRUE(layout.buckets()[0].chunks[1].segments[0].empty());
}

TEST(BucketLayout, PartsOfAFactorCoverItOnce) {
  for (int64_t elements : {1, 3, 4, 8, 100, 4097}) {
    for (int world_size : {1, 2, 3, 7, 8}) {
      int64_t at = 0;
      for (int chunk = 0; chunk < world_size; ++chunk) {
        const ElementRange part = FactorPart(elements, world_size, chunk);
        EXPECT_EQ(part.begin, at);
        EXPECT_GE(part.size(), 0);
        at = part.end;
      }
      EXPECT_EQ(at, elements);
    }
  }
}

TEST(BucketLayout, RefusesWhatItCannotLayOut) {
  EXPECT_THAT(std::string(Refusal({}, 1024, 2).message()), HasSubstr("no tensors"));
  EXPECT_THAT(std::string(Refusal({{"a", 1}, {"a", 2}}, 1024, 2).message()), HasSubstr("\"a\""));
  EXPECT_THAT(std::string(Refusal({{"w", 0}}, 1024, 2).message()), HasSubstr("\"w\" has 0"));
  EXPECT_THAT(std::string(Refusal({{"w", -4}}, 1024, 2).message()), HasSubstr("\"w\" has -4"));
  EXPECT_THAT(std::string(Refusal({{"w", INT64_MAX}}, 1024, 2).message()), HasSubstr("\"w\" has"));
  EXPECT_THAT(std::string(Refusal({{"w", 4}}, 0, 2).message()), HasSubstr("bucket of 0 bytes"));
  EXPECT_THAT(std::string(Refusal({{"w", 4}}, 1024, 0).message()), HasSubstr("world size 0"));
  EXPECT_EQ(Refusal({}, 1024, 2).code(), absl::StatusCode::kInvalidArgument);
}

TEST(BucketLayout, RefusesMoreBucketsThanTagsCanName) {
  const absl::Status refusal = Refusal(Tensors(std::vector<int64_t>(65281, 1)), 4, 1);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("use larger buckets"));
}

}  // namespace
}  // namespace sluice
