#include "comm/collective/request_set.h"

#include <optional>

#include "absl/time/clock.h"

namespace sluice {

RequestSet::RequestSet(const CollectiveContext& context, std::vector<RequestId>& storage)
    : context_(context), requests_(storage) {
  requests_.clear();
}

RequestSet::~RequestSet() {
  for (RequestId request : requests_) {
    // The outcome no longer matters: an error is on its way to the caller already.
    if (request != kNoRequest) (void)context_.transport.Wait(request, absl::InfinitePast());
  }
  requests_.clear();
}

size_t RequestSet::Send(Rank to, int phase, absl::Span<const std::byte> bytes) {
  requests_.push_back(context_.transport.Send(to, Tag(phase), bytes));
  return requests_.size() - 1;
}

size_t RequestSet::Receive(Rank from, int phase, absl::Span<std::byte> bytes) {
  requests_.push_back(context_.transport.Receive(from, Tag(phase), bytes));
  return requests_.size() - 1;
}

absl::Status RequestSet::Wait(size_t number) {
  while (requests_[number] != kNoRequest) {
    while (requests_[first_] == kNoRequest) ++first_;
    const std::optional<size_t> over = context_.transport.WaitAny(
        absl::MakeConstSpan(requests_).subspan(first_), context_.deadline);
    if (!over && absl::Now() < context_.deadline) continue;  // woken for something else
    const size_t ended = over ? first_ + *over : number;
    // Without one that is over the deadline has passed, and Wait cancels and says so.
    absl::Status outcome = context_.transport.Wait(requests_[ended], context_.deadline);
    requests_[ended] = kNoRequest;
    if (!outcome.ok()) return outcome;
  }
  return absl::OkStatus();
}

absl::Status RequestSet::WaitForAll() {
  for (size_t number = 0; number < requests_.size(); ++number) {
    if (absl::Status outcome = Wait(number); !outcome.ok()) return outcome;
  }
  return absl::OkStatus();
}

MessageTag RequestSet::Tag(int phase) const {
  return (static_cast<MessageTag>(context_.operation) << 8) + static_cast<MessageTag>(phase);
}

}  // namespace sluice
