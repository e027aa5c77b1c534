#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/collective/collective_context.h"
#include "comm/transport/transport.h"

namespace sluice {

/// The requests of one call of a collective: none outlives it, on any way out.
///
/// While it waits for one request it watches all: the first failure of any ends the wait, so that a
/// lost peer is not hidden behind a wait for another, live one. \threadsafety comm thread only
class RequestSet {
 public:
  /// \param storage  cleared; kept by the caller so that a steady state allocates nothing
  RequestSet(const CollectiveContext& context, std::vector<RequestId>& storage);
  /// Cancels what is not over.
  ~RequestSet();
  RequestSet(const RequestSet&) = delete;
  RequestSet& operator=(const RequestSet&) = delete;

  /// Start a message of `phase` of the operation. \return its number in this set, from 0 in order
  size_t Send(Rank to, int phase, absl::Span<const std::byte> bytes);
  size_t Receive(Rank from, int phase, absl::Span<std::byte> bytes);

  /// Returns once request `number` is over; OK if it was waited for before.
  /// \error of the first request found to have failed, of any number; kDeadlineExceeded
  absl::Status Wait(size_t number);

  /// Waits for all. \error as Wait
  absl::Status WaitForAll();

 private:
  MessageTag Tag(int phase) const;

  const CollectiveContext& context_;
  std::vector<RequestId>& requests_;  // kNoRequest once retired
  size_t first_ = 0;                  // all before are retired: a long call watches few at a time
};

/// The bytes of a span of numbers.
template <class T>
absl::Span<std::byte> AsBytes(absl::Span<T> values) {
  return {reinterpret_cast<std::byte*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace sluice
