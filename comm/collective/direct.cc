#include "comm/collective/direct.h"

#include "base/status_macros.h"
#include "comm/collective/sum_spans.h"

namespace sluice {
namespace {

enum Phase { kSum = 0, kGather = 1, kCrossSum = 2, kCrossGather = 3 };

int PositionOf(int rank, absl::Span<const int> ranks) {
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

// The stages of one call; `message` counts the messages of a chunk, equal for all chunks.
//
// Every receive into `data` is started early, where values lie that are still being sent. That is
// safe: what it waits for was summed from those very values once they had all arrived.
class Stages {
 public:
  Stages(AllReduceCall& call, const DirectGroups& groups, absl::Span<float> data)
      : call_(call),
        groups_(groups),
        data_(data),
        position_(PositionOf(call.self, groups.group)),
        across_(PositionOf(call.self, groups.across)),
        locals_(static_cast<int64_t>(groups.group.size())),
        crosses_(static_cast<int64_t>(groups.across.size())) {
    const int64_t chunk = LongestPart(static_cast<int64_t>(data.size()), groups.owners);
    messages_ = call.Messages(chunk);
    longest_ = LongestPart(chunk, messages_);
    longest_cross_ = crosses_ > 1 ? LongestPart(longest_, crosses_) : 0;
    // An owner without cross stages is done with a message when it has added it.
    slots_ = std::min(messages_,
                      owner() && !crosses() ? kMessagesAhead : kMessagesAhead + kRoundsAcross);
    GrowTo(call.buffers.scratch, slots_ * SlotElements());
    GrowTo(call.buffers.numbers, slots_ * SlotNumbers());
    GrowTo(call.buffers.inputs, std::max(locals_, crosses_));
  }

  absl::Status Run() {
    // The cross stages of a message come one and two rounds after its sum, so that what others
    // need goes out before waiting for what they send.
    int64_t started = 0;
    for (int64_t round = 0; round < messages_ + kRoundsAcross; ++round) {
      for (; started < std::min(messages_, round + kMessagesAhead); ++started) Start(started);
      if (round < messages_) SLUICE_RETURN_IF_ERROR(Sum(round));
      if (round >= 1 && round - 1 < messages_) SLUICE_RETURN_IF_ERROR(CrossSum(round - 1));
      if (round >= kRoundsAcross) SLUICE_RETURN_IF_ERROR(CrossGather(round - kRoundsAcross));
    }
    return call_.requests.WaitForAll();
  }

 private:
  static constexpr int64_t kRoundsAcross = 2;

  bool owner() const { return position_ < groups_.owners; }
  bool crosses() const { return crosses_ > 1; }

  // A message in flight has a slot of numbers and scratch:
  //   numbers   sums by position in the group, then cross sums and cross gathers by group; the
  //             first number of a rank that owns nothing is its gather
  //   scratch   sums, then cross sums
  int64_t SlotNumbers() const { return locals_ + 2 * crosses_; }
  int64_t SlotElements() const {
    return owner() ? (locals_ - 1) * longest_ + std::max<int64_t>(0, crosses_ - 1) * longest_cross_
                   : 0;
  }
  size_t* Numbers(int64_t message) {
    return &call_.buffers.numbers[static_cast<size_t>(message % slots_ * SlotNumbers())];
  }
  // Where the values of the `position`-th arrive; mine are in the vector.
  absl::Span<float> Arriving(int64_t message, int64_t position, int64_t mine, int64_t first,
                             int64_t longest, size_t size) {
    const int64_t others = position - (position > mine ? 1 : 0);
    return absl::MakeSpan(call_.buffers.scratch)
        .subspan(static_cast<size_t>(message % slots_ * SlotElements() + first + others * longest),
                 size);
  }
  absl::Span<float> ArrivingSum(int64_t message, int64_t position) {
    return Arriving(message, position, position_, 0, longest_, Mine(message).size());
  }
  absl::Span<float> ArrivingCrossSum(int64_t message, int64_t group) {
    return Arriving(message, group, across_, (locals_ - 1) * longest_, longest_cross_,
                    CrossPart(message, across_).size());
  }

  absl::Span<float> Values(int64_t position, int64_t message) const {
    if (position >= groups_.owners) return {};
    return Part(Part(data_, groups_.owners, position), messages_, message);
  }
  absl::Span<float> Mine(int64_t message) const { return Values(position_, message); }
  absl::Span<float> CrossPart(int64_t message, int64_t group) const {
    return Part(Mine(message), crosses_, group);
  }

  // From the next one on, so that no rank is everybody's first.
  template <class Visit>
  static void ForOthers(absl::Span<const int> ranks, int64_t mine, Visit visit) {
    const auto size = static_cast<int64_t>(ranks.size());
    for (int64_t distance = 1; distance < size; ++distance) {
      const int64_t position = (mine + distance) % size;
      visit(position, ranks[static_cast<size_t>(position)]);
    }
  }

  // All receives of a message, and its values on their way to their owners.
  void Start(int64_t message) {
    size_t* const numbers = Numbers(message);
    ForOthers(groups_.group, position_, [&](int64_t position, int rank) {
      if (owner()) {
        numbers[position] = call_.Receive(rank, kSum, ArrivingSum(message, position));
      }
      call_.Send(rank, kSum, Values(position, message));
      const size_t gather = call_.Receive(rank, kGather, Values(position, message));
      if (!owner() && position == 0) numbers[0] = gather;
    });
    if (!crosses()) return;
    ForOthers(groups_.across, across_, [&](int64_t group, int rank) {
      numbers[locals_ + group] = call_.Receive(rank, kCrossSum, ArrivingCrossSum(message, group));
      numbers[locals_ + crosses_ + group] =
          call_.Receive(rank, kCrossGather, CrossPart(message, group));
    });
  }

  absl::Status Sum(int64_t message) {
    if (!owner()) return absl::OkStatus();
    size_t* const numbers = Numbers(message);
    for (int64_t position = 0; position < locals_; ++position) {
      if (position == position_) continue;
      SLUICE_RETURN_IF_ERROR(call_.Wait(numbers[position]));
    }
    AddUp(locals_, position_, Mine(message),
          [&](int64_t position) { return ArrivingSum(message, position); });
    if (!crosses()) {
      Gather(message);
      return absl::OkStatus();
    }
    ForOthers(groups_.across, across_, [&](int64_t group, int rank) {
      call_.Send(rank, kCrossSum, CrossPart(message, group));
    });
    return absl::OkStatus();
  }

  absl::Status CrossSum(int64_t message) {
    if (!crosses()) return absl::OkStatus();
    for (int64_t group = 0; group < crosses_; ++group) {
      if (group == across_) continue;
      SLUICE_RETURN_IF_ERROR(call_.Wait(Numbers(message)[locals_ + group]));
    }
    AddUp(crosses_, across_, CrossPart(message, across_),
          [&](int64_t group) { return ArrivingCrossSum(message, group); });
    ForOthers(groups_.across, across_, [&](int64_t, int rank) {
      call_.Send(rank, kCrossGather, CrossPart(message, across_));
    });
    return absl::OkStatus();
  }

  absl::Status CrossGather(int64_t message) {
    if (!owner()) return call_.Wait(Numbers(message)[0]);  // no further ahead than its owner
    if (!crosses()) return absl::OkStatus();
    for (int64_t group = 0; group < crosses_; ++group) {
      if (group == across_) continue;
      SLUICE_RETURN_IF_ERROR(call_.Wait(Numbers(message)[locals_ + crosses_ + group]));
    }
    Gather(message);
    return absl::OkStatus();
  }

  void Gather(int64_t message) {
    ForOthers(groups_.group, position_,
              [&](int64_t, int rank) { call_.Send(rank, kGather, Mine(message)); });
  }

  template <class ArrivingFrom>
  void AddUp(int64_t ranks, int64_t mine, absl::Span<float> sums, ArrivingFrom arriving) {
    auto& inputs = call_.buffers.inputs;
    for (int64_t position = 0; position < ranks; ++position) {
      inputs[static_cast<size_t>(position)] =
          position == mine ? sums.data() : arriving(position).data();
    }
    SumInOrder(absl::MakeConstSpan(inputs).first(static_cast<size_t>(ranks)), sums);
  }

  AllReduceCall& call_;
  const DirectGroups& groups_;
  const absl::Span<float> data_;
  const int64_t position_;  // mine in my group
  const int64_t across_;    // of my group among all
  const int64_t locals_;    // ranks in my group
  const int64_t crosses_;   // groups, 0 where I own nothing
  int64_t messages_;        // that a chunk is cut into
  int64_t slots_;           // for messages in flight
  int64_t longest_;         // elements of a message
  int64_t longest_cross_;   // elements of the part of a message that one group adds up
};

}  // namespace

absl::Status Direct(AllReduceCall& call, const DirectGroups& groups, absl::Span<float> data) {
  return Stages(call, groups, data).Run();
}

}  // namespace sluice
