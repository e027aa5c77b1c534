#include "tests/comm/reducer/world.h"

#include <thread>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "comm/transport/inproc_transport.h"
#include "gtest/gtest.h"

namespace sluice {

BucketLayout World::Layout() const {
  absl::StatusOr<BucketLayout> layout =
      BucketLayout::Create(tensors, bucket_bytes, options.world_size);
  SLUICE_CHECK(layout.ok(), layout.status().ToString().c_str());
  return *std::move(layout);
}

void World::Run(const std::function<void(Rank, Reducer&)>& body,
                const std::function<void(Transport&)>& run_peer) const {
  const int peers = options.world_size + further_peers;
  auto transports = connect ? connect(peers) : CreateInprocTransports(peers);
  std::vector<std::thread> threads;
  for (int r = 0; r < options.world_size; ++r) {
    threads.emplace_back([&, r] {
      const Rank rank(r);
      auto reducer =
          Reducer::Create(options, Layout(), [&]() -> absl::StatusOr<std::unique_ptr<Transport>> {
            std::unique_ptr<Transport> transport = std::move(transports[r]);
            return wrap ? wrap(rank, std::move(transport)) : std::move(transport);
          });
      ASSERT_TRUE(reducer.ok()) << reducer.status();
      body(rank, **reducer);
    });
  }
  for (int p = options.world_size; p < peers; ++p) {
    threads.emplace_back([&, transport = std::move(transports[p])]() mutable {
      if (run_peer) run_peer(*transport);
      transport.reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::vector<TensorInfo> MixedTensors() {
  return {{"head.bias", 10},   {"head.weight", 1300, 10},  {"block2.norm", 33},
          {"block2.weight", 5000, 50}, {"block1.bias", 3}, {"block1.weight", 777, 21},
          {"stem.weight", 270, 30},  {"stem.bias", 1}};
}

float TestGradient(Step step, int tensor, Rank rank, int64_t element) {
  const uint64_t bits = RandomKey(7)
                            .With(static_cast<uint64_t>(step.value))
                            .With(static_cast<uint64_t>(tensor))
                            .With(static_cast<uint64_t>(rank.value))
                            .Bits(static_cast<uint64_t>(element));
  return static_cast<float>(static_cast<int64_t>(bits >> 40) - (1 << 23)) / (1 << 23);
}

absl::StatusOr<ReductionStats> RunStep(Reducer& reducer, Step step, Rank rank) {
  reducer.BeginStep(step);
  const int tensors = static_cast<int>(reducer.layout().tensors().size());
  for (int t = 0; t < tensors; ++t) {
    const absl::Span<float> gradient = reducer.gradient(t);
    for (size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] = TestGradient(step, t, rank, static_cast<int64_t>(i));
    }
    reducer.Ready(t);
  }
  return reducer.Finish();
}

std::vector<float> AllGradients(Reducer& reducer) {
  std::vector<float> all;
  for (size_t t = 0; t < reducer.layout().tensors().size(); ++t) {
    const absl::Span<float> gradient = reducer.gradient(static_cast<int>(t));
    all.insert(all.end(), gradient.begin(), gradient.end());
  }
  return all;
}

std::vector<float> NaiveMean(const BucketLayout& layout, Step step) {
  const int world_size = layout.world_size();
  const float scale = 1.0f / static_cast<float>(world_size);
  std::vector<std::vector<float>> by_tensor;
  for (const TensorInfo& tensor : layout.tensors()) by_tensor.emplace_back(tensor.elements);
  for (const BucketLayout::Bucket& bucket : layout.buckets()) {
    for (int owner = 0; owner < world_size; ++owner) {
      for (const std::vector<Piece>& segment : bucket.chunks[owner].segments) {
        for (const Piece& piece : segment) {
          for (int64_t i = piece.in_tensor.begin; i < piece.in_tensor.end; ++i) {
            float sum = TestGradient(step, piece.tensor, Rank(owner), i) * scale;
            for (int r = 0; r < world_size; ++r) {
              if (r != owner) sum += TestGradient(step, piece.tensor, Rank(r), i) * scale;
            }
            by_tensor[piece.tensor][i] = sum;
          }
        }
      }
    }
  }
  std::vector<float> all;
  for (const auto& tensor : by_tensor) all.insert(all.end(), tensor.begin(), tensor.end());
  return all;
}

CodecPlan UniformPlan(const BucketLayout& layout, uint32_t version, Step effective_step,
                      const CodecConfig& codec) {
  return {version, effective_step, std::vector<CodecConfig>(layout.tensors().size(), codec)};
}

std::vector<CodecConfig> ManyCodecs() {
  return {{CodecKind::kRaw},
          {CodecKind::kFp16},
          {CodecKind::kBf16},
          {CodecKind::kMaxMin, 1, 64},
          {CodecKind::kMaxMin, 4, 512},
          {CodecKind::kMaxMin, 3, 128, true},
          {CodecKind::kMaxMin, 8, 1024},
          {CodecKind::kL2Norm, 2, 64},
          {CodecKind::kL2Norm, 4, 512, true},
          {CodecKind::kL2Norm, 8, 256},
          {CodecKind::kSign, 1, 64},
          {CodecKind::kClipped, 2, 128},
          {CodecKind::kTernary, 2, 128},
          {CodecKind::kDrop},
          {CodecKind::kTopK, 32, 0, false, 20000, true},
          {CodecKind::kTopK, 8, 0, false, 100000},
          {CodecKind::kLowRank, 32, 0, false, 0, false, 2},
          {CodecKind::kLowRank, 8, 0, false, 0, false, 4}};
}

}  // namespace sluice
