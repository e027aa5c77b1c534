#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/codec/codec.h"

namespace sluice {

/// A gradient tensor, identified by its name.
struct TensorInfo {
  std::string name;
  int64_t elements = 0;
  int64_t rows = 1;  ///< as a matrix: first dimension x the rest; divides `elements`
};

/// Elements [begin, end).
struct ElementRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// A run of one tensor's elements inside one segment of a chunk: what is encoded as one record.
struct Piece {
  int tensor = 0;             ///< index into BucketLayout::tensors()
  ElementRange in_tensor;     ///< which of the tensor's elements
  int64_t bucket_offset = 0;  ///< where they are in the bucket's flat buffer
};

/// Where every gradient lives: tensors fill buckets in backward order, and each bucket is cut into
/// one chunk per rank. Pure arithmetic and immutable: any thread may share one; every rank and the
/// profilers compute the same.
///
///     bucket 0: | tensor 0 | tensor 1 | tensor 2 ...          flat fp32, in backward order
///               |  chunk 0     |  chunk 1     |  chunk 2 ...   chunk r belongs to rank r
///
/// A bucket is closed when the next tensor would not fit; a tensor larger than a bucket is a bucket
/// of its own. Chunk r aims at floor(elements left / ranks left) elements; a cut inside a tensor is
/// moved up to a multiple of 4 elements of that tensor, or to its end. So chunks can be empty.
/// Source of the cut rule: torch_cgx (Markov et al. 2022). A chunk is cut into segments of
/// kSegmentElements, so that a long one is encoded, sent and added while others are on their way.
class BucketLayout {
 public:
  struct Chunk {
    ElementRange range;                        ///< of the bucket's flat buffer
    std::vector<std::vector<Piece>> segments;  ///< at least one; the pieces of each
  };
  struct Bucket {
    int64_t elements = 0;
    std::vector<int> tensors;
    std::vector<Chunk> chunks;  ///< one per rank
  };
  struct Place {
    int bucket = 0;
    int64_t offset = 0;  ///< of the tensor's first element in the bucket's flat buffer
  };

  /// The most buckets that a layout can have: a bucket's number is part of a message tag.
  static constexpr size_t kMaxBuckets = 65280;
  /// The longest segment: 1 MiB of floats.
  static constexpr int64_t kSegmentElements = int64_t{1} << 18;

  /// \param tensors     in backward order, at least one; names must differ, elements > 0
  /// \param world_size  at least 1
  /// \error kInvalidArgument naming the tensor, or the value and its range
  static absl::StatusOr<BucketLayout> Create(std::vector<TensorInfo> tensors, int64_t bucket_bytes,
                                             int world_size);

  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  const std::vector<Place>& places() const { return places_; }
  int world_size() const { return world_size_; }

  /// Bytes that one rank sends per step for tensor `tensor` under `codec`, mean over ranks; without
  /// frame headers. Additive over tensors. 0 in a world of one. Low rank: of both factors, without
  /// the second exchange's frame headers.
  double TensorWireBytes(int tensor, const CodecConfig& codec) const;

  /// Frame headers that one rank sends per step, mean over ranks, without those of second exchanges.
  double FixedWireBytes() const;

 private:
  std::vector<TensorInfo> tensors_;
  std::vector<Bucket> buckets_;
  std::vector<Place> places_;
  std::vector<std::vector<int64_t>> piece_sizes_;  // by tensor, in elements
  int world_size_ = 1;
};

/// Which elements of a low-rank factor go with chunk `chunk` of its tensor's bucket: about one
/// part per rank, cut at multiples of 4; they are in the chunk's first segment.
ElementRange FactorPart(int64_t elements, int world_size, int chunk);

}  // namespace sluice
