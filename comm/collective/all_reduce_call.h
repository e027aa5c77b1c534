#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "comm/collective/all_reduce.h"
#include "comm/collective/request_set.h"

namespace sluice {

/// One call of AllReduce, as its algorithms see it. Values travel as messages of at most
/// `message_elements`; where there is nothing to send, neither side starts a message.
struct AllReduceCall {
  int ranks;
  int self;
  int64_t message_elements;
  RequestSet& requests;
  AllReduceBuffers& buffers;

  /// The number of an empty message: there is nothing to wait for.
  static constexpr size_t kNothing = ~size_t{0};

  size_t Send(int to, int phase, absl::Span<float> values) {
    if (values.empty()) return kNothing;
    return requests.Send(Rank(to), phase, AsBytes(values));
  }
  size_t Receive(int from, int phase, absl::Span<float> values) {
    if (values.empty()) return kNothing;
    return requests.Receive(Rank(from), phase, AsBytes(values));
  }
  absl::Status Wait(size_t number) {
    return number == kNothing ? absl::OkStatus() : requests.Wait(number);
  }

  /// Into how many messages `elements` are cut; at least 1.
  int64_t Messages(int64_t elements) const {
    return std::max<int64_t>(1, (elements + message_elements - 1) / message_elements);
  }
};

/// How many messages an algorithm keeps under way ahead of the one it works on.
inline constexpr int64_t kMessagesAhead = 4;

/// The `index`-th of `parts` nearly equal parts of `data`; the first data.size() % parts have one
/// more.
inline absl::Span<float> Part(absl::Span<float> data, int64_t parts, int64_t index) {
  const auto size = static_cast<int64_t>(data.size());
  const int64_t begin = index * (size / parts) + std::min(index, size % parts);
  return data.subspan(static_cast<size_t>(begin),
                      static_cast<size_t>(size / parts + (index < size % parts ? 1 : 0)));
}

/// The length of the longest of `parts` parts of `elements`.
inline int64_t LongestPart(int64_t elements, int64_t parts) {
  return (elements + parts - 1) / parts;
}

/// Makes `buffer` at least `size` long.
template <class Buffer>
void GrowTo(Buffer& buffer, int64_t size) {
  if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
}

}  // namespace sluice
