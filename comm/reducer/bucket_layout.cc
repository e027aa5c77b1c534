#include "comm/reducer/bucket_layout.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "comm/reducer/frame_header.h"

namespace sluice {
namespace {

constexpr int64_t kCutElements = 4;                       // cuts are whole SIMD groups of a tensor
constexpr int64_t kMaxElements = (int64_t{1} << 32) - 1;  // what the count in a record can hold
constexpr int64_t kMaxTotal = int64_t{1} << 40;           // byte counts stay far below 2^63

absl::Status Check(const std::vector<TensorInfo>& tensors, int64_t bucket_bytes, int world_size) {
  if (tensors.empty()) return absl::InvalidArgumentError("bucket layout: the model has no tensors");
  if (bucket_bytes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket layout: bucket of ", bucket_bytes, " bytes, expected at least 1"));
  }
  if (world_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket layout: world size ", world_size, ", expected at least 1"));
  }
  absl::flat_hash_set<absl::string_view> names;
  int64_t total = 0;
  for (const TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("bucket layout: two tensors are named \"", tensor.name, "\""));
    }
    if (tensor.elements < 1 || tensor.elements > std::min(kMaxElements, kMaxTotal - total)) {
      return absl::InvalidArgumentError(
          absl::StrCat("bucket layout: tensor \"", tensor.name, "\" has ", tensor.elements,
                       " elements, expected 1 to 2^32 - 1, and at most 2^40 over all tensors"));
    }
    if (tensor.rows < 1 || tensor.elements % tensor.rows != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("bucket layout: tensor \"", tensor.name, "\" has ", tensor.rows,
                       " rows, expected a divisor of its ", tensor.elements, " elements"));
    }
    total += tensor.elements;
  }
  return absl::OkStatus();
}

// Where the tensors of a bucket begin in its flat buffer, and the end of the last one.
using Borders = std::vector<int64_t>;

// Moves a cut that falls inside a tensor up to a multiple of kCutElements of that tensor.
int64_t AlignCut(const Borders& borders, int64_t cut) {
  if (cut >= borders.back()) return borders.back();
  const auto next = std::upper_bound(borders.begin(), borders.end(), cut);
  if (next == borders.end()) return cut;  // the end of the bucket
  const int64_t begin = *(next - 1);
  const int64_t inside = (cut - begin + kCutElements - 1) / kCutElements * kCutElements;
  return std::min(begin + inside, *next);
}

std::vector<Piece> PiecesOf(const BucketLayout::Bucket& bucket, const Borders& borders,
                            ElementRange range) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < bucket.tensors.size(); ++i) {
    const int64_t begin = std::max(range.begin, borders[i]);
    const int64_t end = std::min(range.end, borders[i + 1]);
    if (begin >= end) continue;
    pieces.push_back({bucket.tensors[i], {begin - borders[i], end - borders[i]}, begin});
  }
  return pieces;
}

void CutIntoChunks(const std::vector<TensorInfo>& tensors, int world_size,
                   BucketLayout::Bucket& bucket) {
  Borders borders = {0};
  for (int t : bucket.tensors) borders.push_back(borders.back() + tensors[t].elements);
  int64_t begin = 0;
  for (int rank = 0; rank < world_size; ++rank) {
    const int64_t target = begin + (bucket.elements - begin) / (world_size - rank);
    const ElementRange range = {begin, AlignCut(borders, target)};
    bucket.chunks.push_back({range, {}});
    for (int64_t cut = range.begin;;) {
      const int64_t end =
          std::min(AlignCut(borders, cut + BucketLayout::kSegmentElements), range.end);
      bucket.chunks.back().segments.push_back(PiecesOf(bucket, borders, {cut, end}));
      cut = end;
      if (cut == range.end) break;
    }
    begin = range.end;
  }
  SLUICE_CHECK(begin == bucket.elements, "chunks cover their bucket");
}

}  // namespace

absl::StatusOr<BucketLayout> BucketLayout::Create(std::vector<TensorInfo> tensors,
                                                  int64_t bucket_bytes, int world_size) {
  if (absl::Status status = Check(tensors, bucket_bytes, world_size); !status.ok()) return status;
  BucketLayout layout;
  layout.tensors_ = std::move(tensors);
  layout.world_size_ = world_size;

  const int64_t bucket_elements = bucket_bytes / static_cast<int64_t>(sizeof(float));
  const int count = static_cast<int>(layout.tensors_.size());
  for (int t = 0; t < count; ++t) {
    const int64_t elements = layout.tensors_[t].elements;
    if (layout.buckets_.empty() || layout.buckets_.back().elements + elements > bucket_elements) {
      layout.buckets_.emplace_back();
    }
    Bucket& bucket = layout.buckets_.back();
    layout.places_.push_back({static_cast<int>(layout.buckets_.size()) - 1, bucket.elements});
    bucket.tensors.push_back(t);
    bucket.elements += elements;
  }
  if (layout.buckets_.size() > kMaxBuckets) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket layout: ", layout.buckets_.size(), " buckets of ", bucket_bytes,
                     " bytes, at most ", kMaxBuckets, " are allowed: use larger buckets"));
  }

  layout.piece_sizes_.resize(count);
  for (Bucket& bucket : layout.buckets_) {
    CutIntoChunks(layout.tensors_, world_size, bucket);
    for (const Chunk& chunk : bucket.chunks) {
      for (const std::vector<Piece>& segment : chunk.segments) {
        for (const Piece& piece : segment) {
          layout.piece_sizes_[piece.tensor].push_back(piece.in_tensor.size());
        }
      }
    }
  }
  return layout;
}

double BucketLayout::TensorWireBytes(int tensor, const CodecConfig& codec) const {
  double bytes = 0;
  if (codec.kind == CodecKind::kLowRank) {
    const TensorInfo& info = tensors_[tensor];
    const int64_t cols = info.elements / info.rows;
    const int64_t rank = std::min({int64_t{codec.rank}, info.rows, cols});
    // Both, one after the other; at full rank the longer one alone.
    const bool full = rank == std::min(info.rows, cols);
    for (const int64_t side : {std::max(info.rows, cols), full ? 0 : std::min(info.rows, cols)}) {
      for (int chunk = 0; chunk < world_size_; ++chunk) {
        const ElementRange part = FactorPart(side * rank, world_size_, chunk);
        if (part.size() == 0) continue;
        bytes += static_cast<double>(EncodedBytes(FactorCodec(codec), part.size()));
      }
    }
  } else {
    for (int64_t elements : piece_sizes_[tensor]) {
      bytes += static_cast<double>(EncodedBytes(codec, elements));
    }
  }
  // In the two rounds together each chunk is sent 2 (N - 1) times by all ranks together.
  return 2.0 * (world_size_ - 1) * bytes / world_size_;
}

double BucketLayout::FixedWireBytes() const {
  size_t frames = 0;
  for (const Bucket& bucket : buckets_) {
    for (const Chunk& chunk : bucket.chunks) frames += chunk.segments.size();
  }
  return 2.0 * (world_size_ - 1) * static_cast<double>(kFrameHeaderBytes * frames) / world_size_;
}

ElementRange FactorPart(int64_t elements, int world_size, int chunk) {
  const auto cut = [&](int64_t part) {
    if (part == world_size) return elements;
    return elements / world_size * part / kCutElements * kCutElements;
  };
  return {cut(chunk), cut(chunk + 1)};
}

}  // namespace sluice
