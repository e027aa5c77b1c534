#include "comm/collective/ring.h"

#include "base/status_macros.h"
#include "comm/collective/sum_spans.h"

namespace sluice {
namespace {

constexpr int kPhase = 0;

}  // namespace

absl::Status Ring(AllReduceCall& call, absl::Span<float> data) {
  const int64_t ranks = call.ranks;
  const int next = (call.self + 1) % call.ranks;
  const int previous = (call.self + call.ranks - 1) % call.ranks;
  const int64_t longest_chunk = LongestPart(static_cast<int64_t>(data.size()), ranks);
  const int64_t messages = call.Messages(longest_chunk);  // per step
  const int64_t longest = LongestPart(longest_chunk, messages);
  const int64_t all = 2 * (ranks - 1) * messages;
  const int64_t adding = (ranks - 1) * messages;
  GrowTo(call.buffers.scratch, kMessagesAhead * longest);
  GrowTo(call.buffers.numbers, kMessagesAhead);

  // Message k of step s, both counted through. What is received as `index` is what is sent as
  // `index` + messages.
  const auto sent = [&](int64_t index) {
    const int64_t chunk = (call.self - index / messages + 2 * ranks) % ranks;
    return Part(Part(data, ranks, chunk), messages, index % messages);
  };
  const auto received = [&](int64_t index) { return sent(index + messages); };
  const auto scratch = [&](int64_t index) {
    return absl::MakeSpan(call.buffers.scratch)
        .subspan(static_cast<size_t>(index % kMessagesAhead * longest), received(index).size());
  };
  const auto number = [&](int64_t index) -> size_t& {
    return call.buffers.numbers[static_cast<size_t>(index % kMessagesAhead)];
  };

  int64_t sends = 0;
  int64_t receives = 0;
  for (int64_t index = 0; index < all; ++index) {
    for (; receives < std::min(all, index + kMessagesAhead); ++receives) {
      // Gathered sums go where they belong at once: a sum comes round only after the values that
      // were sent from there have arrived.
      number(receives) = call.Receive(previous, kPhase,
                                      receives < adding ? scratch(receives) : received(receives));
    }
    for (; sends < std::min({all, index + messages, index + kMessagesAhead}); ++sends) {
      call.Send(next, kPhase, sent(sends));
    }
    SLUICE_RETURN_IF_ERROR(call.Wait(number(index)));
    if (index < adding) AddTo(received(index), scratch(index));
  }
  return call.requests.WaitForAll();
}

}  // namespace sluice
