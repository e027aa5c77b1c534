#include "comm/collective/ring_all_reduce.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "comm/collective/request_set.h"

namespace sluice {
namespace {

enum Phase { kSum = 0, kGather = 1 };

// The `index`-th of `chunks` nearly equal parts of `data`; the first data.size() % chunks have one
// more.
template <class T>
absl::Span<T> Chunk(absl::Span<T> data, int64_t chunks, int64_t index) {
  const auto size = static_cast<int64_t>(data.size());
  const int64_t base = size / chunks;
  const int64_t longer = size % chunks;
  const int64_t begin = index * base + std::min(index, longer);
  return data.subspan(static_cast<size_t>(begin),
                      static_cast<size_t>(base + (index < longer ? 1 : 0)));
}

template <class T>
void AddTo(absl::Span<T> sums, absl::Span<const T> values) {
  T* __restrict sum = sums.data();
  const T* __restrict value = values.data();
  for (size_t i = 0; i < sums.size(); ++i) sum[i] += value[i];
}

template <class T>
absl::Status Ring(const CollectiveContext& context, absl::Span<T> data) {
  const int64_t ranks = context.world_size;
  const int64_t self = context.transport.self().value;
  const Rank next((self + 1) % ranks);
  const Rank previous((self + ranks - 1) % ranks);
  const auto chunk = [&](int64_t index) {
    return Chunk(data, ranks, ((index % ranks) + ranks) % ranks);
  };

  std::vector<T> scratch(Chunk(data, ranks, 0).size());
  std::vector<RequestId> storage;
  storage.reserve(2);
  for (int64_t step = 0; step < ranks - 1; ++step) {
    const absl::Span<T> sum = chunk(self - step - 1);
    const absl::Span<T> received = absl::MakeSpan(scratch).first(sum.size());
    RequestSet requests(context, storage);
    const size_t receive = requests.Receive(previous, kSum, AsBytes(received));
    requests.Send(next, kSum, AsBytes(chunk(self - step)));
    SLUICE_RETURN_IF_ERROR(requests.Wait(receive));
    AddTo<T>(sum, received);
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  for (int64_t step = 0; step < ranks - 1; ++step) {
    RequestSet requests(context, storage);
    requests.Receive(previous, kGather, AsBytes(chunk(self - step)));
    requests.Send(next, kGather, AsBytes(chunk(self - step + 1)));
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  return absl::OkStatus();
}

template <class T>
absl::Status NamedRing(const CollectiveContext& context, absl::Span<T> data) {
  if (context.world_size == 1 || data.empty()) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR_AT(Ring(context, data),
                            absl::StrCat("ring all-reduce ", context.operation));
  return absl::OkStatus();
}

}  // namespace

absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<float> data) {
  return NamedRing(context, data);
}

absl::Status RingAllReduce(const CollectiveContext& context, absl::Span<double> data) {
  return NamedRing(context, data);
}

}  // namespace sluice
