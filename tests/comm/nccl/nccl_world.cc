#include "tests/comm/nccl/nccl_world.h"

#include <string>
#include <thread>

#include "base/check.h"
#include "base/random.h"
#include "gtest/gtest.h"

namespace sluice {

NcclWorld::NcclWorld(const GpuLibrary& gpu, int world_size) : gpu(gpu) {
  options.world_size = world_size;
}

BucketLayout NcclWorld::Layout() const {
  auto layout = BucketLayout::Create(
      {{"head.bias", 10}, {"head.weight", 1000, 10}, {"conv.bias", 7}, {"conv.weight", 200, 8}},
      /*bucket_bytes=*/1024, options.world_size);
  SLUICE_CHECK(layout.ok(), "the test's layout is valid");
  SLUICE_CHECK(layout->buckets().size() == 3, "the comment in the header is true");
  return *std::move(layout);
}

absl::StatusOr<std::unique_ptr<Reducer>> NcclWorld::Make(Rank rank, const std::string& id) const {
  return CreateNcclReducer(options, Layout(), {rank, static_cast<int>(rank.value)}, id, gpu);
}

void NcclWorld::Run(const std::function<void(Rank, Reducer&)>& body) const {
  const absl::StatusOr<std::string> id = NewNcclId(gpu);
  ASSERT_TRUE(id.ok()) << id.status();
  std::vector<std::thread> threads;
  for (int r = 0; r < options.world_size; ++r) {
    threads.emplace_back([&, r] {
      auto reducer = Make(Rank(r), *id);
      ASSERT_TRUE(reducer.ok()) << reducer.status();
      body(Rank(r), **reducer);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

float NcclGradient(Step step, int tensor, Rank rank, int64_t element) {
  const RandomKey key = RandomKey(5).With(step.value).With(tensor).With(rank.value);
  return (static_cast<float>(key.Below(element, 257)) - 128) / 64;
}

absl::StatusOr<ReductionStats> RunNcclStep(Reducer& reducer, Step step, Rank rank) {
  reducer.BeginStep(step);
  const int tensors = static_cast<int>(reducer.layout().tensors().size());
  for (int t = 0; t < tensors; ++t) {
    const absl::Span<float> gradient = reducer.gradient(t);
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = NcclGradient(step, t, rank, i);
    reducer.Ready(t);
  }
  return reducer.Finish();
}

int64_t WrongMeans(Reducer& reducer, Step step) {
  const int world_size = reducer.layout().world_size();
  int64_t wrong = 0;
  for (int t = 0; t < static_cast<int>(reducer.layout().tensors().size()); ++t) {
    const absl::Span<const float> gradient = reducer.gradient(t);
    for (size_t i = 0; i < gradient.size(); ++i) {
      float sum = 0;
      for (int r = 0; r < world_size; ++r) sum += NcclGradient(step, t, Rank(r), i);
      if (gradient[i] != sum / static_cast<float>(world_size)) ++wrong;
    }
  }
  return wrong;
}

}  // namespace sluice
