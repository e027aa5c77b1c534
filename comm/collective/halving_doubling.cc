#include "comm/collective/halving_doubling.h"

#include "base/status_macros.h"
#include "comm/collective/doubling.h"
#include "comm/collective/sum_spans.h"

namespace sluice {
namespace {

enum Phase { kFold = 0, kSum = 1, kGather = 2, kUnfold = 3 };

// What `self` sends to `other` and gets from it, message by message.
struct Exchange {
  int other;
  Phase phase;
  absl::Span<float> sent;
  absl::Span<float> received;
};

// Adds what arrives to `received`. `sent` and `received` may be the same.
absl::Status ExchangeAndAdd(AllReduceCall& call, const Exchange& exchange) {
  const auto [other, phase, sent, received] = exchange;
  const int64_t elements = static_cast<int64_t>(std::max(sent.size(), received.size()));
  const int64_t messages = call.Messages(elements);
  const int64_t longest = LongestPart(elements, messages);
  GrowTo(call.buffers.scratch, kMessagesAhead * longest);
  GrowTo(call.buffers.numbers, 2 * kMessagesAhead);
  const auto receive_number = [&](int64_t message) -> size_t& {
    return call.buffers.numbers[static_cast<size_t>(message % kMessagesAhead)];
  };
  const auto send_number = [&](int64_t message) -> size_t& {
    return call.buffers.numbers[static_cast<size_t>(kMessagesAhead + message % kMessagesAhead)];
  };
  int64_t started = 0;
  for (int64_t message = 0; message < messages; ++message) {
    for (; started < std::min(messages, message + kMessagesAhead); ++started) {
      receive_number(started) =
          call.Receive(other, phase,
                       absl::MakeSpan(call.buffers.scratch)
                           .subspan(static_cast<size_t>(started % kMessagesAhead * longest),
                                    Part(received, messages, started).size()));
      send_number(started) = call.Send(other, phase, Part(sent, messages, started));
    }
    SLUICE_RETURN_IF_ERROR(call.Wait(receive_number(message)));
    // It may be the very values that are to be added to.
    SLUICE_RETURN_IF_ERROR(call.Wait(send_number(message)));
    const absl::Span<float> sums = Part(received, messages, message);
    AddTo(sums, absl::MakeSpan(call.buffers.scratch)
                    .subspan(static_cast<size_t>(message % kMessagesAhead * longest), sums.size()));
  }
  return absl::OkStatus();
}

// Stores what arrives in `received`, which is apart from `sent`.
absl::Status ExchangeAndStore(AllReduceCall& call, const Exchange& exchange) {
  const auto [other, phase, sent, received] = exchange;
  const int64_t messages =
      call.Messages(static_cast<int64_t>(std::max(sent.size(), received.size())));
  GrowTo(call.buffers.numbers, 2 * kMessagesAhead);
  const auto numbers = [&](int64_t message) {
    return &call.buffers.numbers[static_cast<size_t>(2 * (message % kMessagesAhead))];
  };
  int64_t started = 0;
  for (int64_t message = 0; message < messages; ++message) {
    for (; started < std::min(messages, message + kMessagesAhead); ++started) {
      numbers(started)[0] = call.Receive(other, phase, Part(received, messages, started));
      numbers(started)[1] = call.Send(other, phase, Part(sent, messages, started));
    }
    SLUICE_RETURN_IF_ERROR(call.Wait(numbers(message)[0]));
    SLUICE_RETURN_IF_ERROR(call.Wait(numbers(message)[1]));
  }
  return absl::OkStatus();
}

// The half of `data` that the lower (higher) of two partners keeps.
absl::Span<float> Half(absl::Span<float> data, bool higher) {
  return Part(data, 2, higher ? 1 : 0);
}

// What `self` has summed once distances P/2 down to `distance` are done.
absl::Span<float> KeptAt(absl::Span<float> data, int self, int ranks, int distance) {
  for (int d = ranks / 2; d >= distance; d /= 2) data = Half(data, (self & d) != 0);
  return data;
}

absl::Status ExchangeWhole(AllReduceCall& call, int ranks, absl::Span<float> data) {
  for (int distance = ranks / 2; distance >= 1; distance /= 2) {
    SLUICE_RETURN_IF_ERROR(ExchangeAndAdd(call, {call.self ^ distance, kSum, data, data}));
  }
  return absl::OkStatus();
}

absl::Status ExchangeHalves(AllReduceCall& call, int ranks, absl::Span<float> data) {
  const int self = call.self;
  for (int distance = ranks / 2; distance >= 1; distance /= 2) {
    const absl::Span<float> whole = KeptAt(data, self, ranks, 2 * distance);
    const bool higher = (self & distance) != 0;
    SLUICE_RETURN_IF_ERROR(
        ExchangeAndAdd(call, {self ^ distance, kSum, Half(whole, !higher), Half(whole, higher)}));
  }
  for (int distance = 1; distance < ranks; distance *= 2) {
    const absl::Span<float> whole = KeptAt(data, self, ranks, 2 * distance);
    const bool higher = (self & distance) != 0;
    SLUICE_RETURN_IF_ERROR(ExchangeAndStore(
        call, {self ^ distance, kGather, Half(whole, higher), Half(whole, !higher)}));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status HalvingDoubling(AllReduceCall& call, absl::Span<float> data) {
  const int exchanging = LargestPowerOfTwo(call.ranks);
  if (call.self >= exchanging) {
    const int host = call.self - exchanging;
    SLUICE_RETURN_IF_ERROR(ExchangeAndStore(call, {host, kFold, data, {}}));
    return ExchangeAndStore(call, {host, kUnfold, {}, data});
  }
  const int guest = call.self + exchanging;
  const bool has_guest = guest < call.ranks;
  if (has_guest) SLUICE_RETURN_IF_ERROR(ExchangeAndAdd(call, {guest, kFold, {}, data}));
  const bool whole = data.size() * sizeof(float) <= static_cast<size_t>(kDoublingBytes);
  SLUICE_RETURN_IF_ERROR(whole ? ExchangeWhole(call, exchanging, data)
                               : ExchangeHalves(call, exchanging, data));
  if (has_guest) SLUICE_RETURN_IF_ERROR(ExchangeAndStore(call, {guest, kUnfold, data, {}}));
  return absl::OkStatus();
}

}  // namespace sluice
