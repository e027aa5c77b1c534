#include "training/session/group_link.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "comm/collective/all_gather.h"
#include "comm/collective/all_reduce.h"
#include "comm/collective/broadcast.h"
#include "comm/collective/collective_context.h"
#include "comm/collective/transfer.h"
#include "xxhash.h"

namespace sluice {
namespace {

// What ranks send each other before an operation: `what`, a zero, what stands for the items; zeros to the end.
constexpr size_t kTextBytes = 512;

std::string HashText(absl::string_view text) {
  return absl::StrCat(absl::Hex(XXH3_64bits(text.data(), text.size()), absl::kZeroPad16));
}

// `what` as it fits; what is cut off still makes a difference.
std::string Shortened(const std::string& what) {
  constexpr size_t kMost = 440;
  if (what.size() <= kMost) return what;
  return absl::StrCat(what.substr(0, kMost - 20), "... (", HashText(what), ")");
}

// "rank 1", "ranks 1, 2"
std::string RanksText(const std::vector<int>& ranks) {
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(ranks, ", "));
}

std::string Has(const std::vector<int>& ranks, const std::string& value) {
  return absl::StrCat(RanksText(ranks), ranks.size() == 1 ? " has " : " have ", value);
}

// "rank 1 has A where ranks 0, 2 have B"; empty when all are equal.
std::string Difference(const std::vector<std::string>& values, const std::vector<int>& ranks) {
  std::vector<int> usual;
  std::vector<std::pair<std::string, std::vector<int>>> others;  // in the order of ranks
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] == values.front()) {
      usual.push_back(ranks[i]);
      continue;
    }
    auto found = std::find_if(others.begin(), others.end(),
                              [&](const auto& other) { return other.first == values[i]; });
    if (found == others.end()) found = others.insert(others.end(), {values[i], {}});
    found->second.push_back(ranks[i]);
  }
  if (others.empty()) return "";
  const std::string theirs = absl::StrJoin(others, ", ", [](std::string* out, const auto& other) {
    absl::StrAppend(out, Has(other.second, other.first));
  });
  return absl::StrCat(theirs, " where ", Has(usual, values.front()));
}

}  // namespace

GroupLink::GroupLink(Transport& world, std::vector<int> ranks, int number, std::vector<int> hosts,
                     absl::Duration timeout)
    : ranks_(std::move(ranks)),
      hosts_(std::move(hosts)),
      number_(static_cast<uint32_t>(number)),
      timeout_(timeout),
      transport_(world, ranks_) {
  SLUICE_CHECK(number >= 0 && number < kMostGroups, "a group's number is part of a message tag");
}

uint32_t GroupLink::NextOperation() { return number_ << 24 | (operations_++ & 0xffffff); }

absl::Time GroupLink::Deadline(size_t bytes) const {
  return absl::Now() + timeout_ + absl::Seconds(static_cast<double>(bytes) / kBytesPerSecond);
}

absl::Status GroupLink::Keep(absl::Status status) {
  if (!status.ok() && broken_.ok()) broken_ = status;
  return status;
}

absl::Status GroupLink::Exchange(const std::string& mine, absl::Duration timeout,
                                 std::vector<std::string>& all) {
  const MessageTag tag = MessageTag{NextOperation()} << 8;
  const absl::Time deadline = absl::Now() + timeout;
  std::string text = mine;
  text.resize(kTextBytes, '\0');
  all.assign(static_cast<size_t>(size()), text);
  std::vector<RequestId> receives(all.size(), kNoRequest), sends(all.size(), kNoRequest);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    std::string& theirs = all[static_cast<size_t>(peer)];
    receives[peer] = transport_.Receive(
        Rank(peer), tag, absl::MakeSpan(reinterpret_cast<std::byte*>(&theirs[0]), theirs.size()));
    sends[peer] = transport_.Send(
        Rank(peer), tag,
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size()));
  }
  absl::Status first;
  std::vector<int> missing;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    // After an error the rest is only taken back; who is late is to be known in full.
    const bool late = absl::IsDeadlineExceeded(first);
    const absl::Status status =
        transport_.Wait(receives[peer], first.ok() || late ? deadline : absl::InfinitePast());
    if (absl::IsDeadlineExceeded(status) && (first.ok() || late)) missing.push_back(ranks_[peer]);
    if (first.ok() || (late && !absl::IsDeadlineExceeded(status) && !status.ok())) first = status;
  }
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    const absl::Status status =
        transport_.Wait(sends[peer], first.ok() ? deadline : absl::InfinitePast());
    if (first.ok()) first = status;
  }
  if (!absl::IsDeadlineExceeded(first) || missing.empty()) return first;
  return absl::DeadlineExceededError(absl::StrCat(
      "SL2002 ", RanksText(missing), missing.size() == 1 ? " has" : " have",
      " not called it, nor anything else that all ranks call, for ", absl::FormatDuration(timeout),
      ". Is there a branch that not all ranks take, or is one of them busy "
      "(communication.timeout_seconds)?"));
}

absl::Status GroupLink::Compare(const std::string& what, const std::vector<std::string>& items,
                                const std::vector<std::string>& all) {
  std::vector<std::string> kinds;
  for (const std::string& text : all) kinds.emplace_back(text.c_str());
  if (const std::string difference = Difference(kinds, ranks_); !difference.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("SL2001 ranks call different things: ", difference));
  }
  if (std::all_of(all.begin(), all.end(), [&](const auto& one) { return one == all.front(); })) {
    return absl::OkStatus();
  }
  // Every rank knows that now, so every rank takes part in finding the item.
  std::vector<std::vector<std::string>> lists;
  for (int root = 0; root < size(); ++root) {
    std::string bytes = root == rank() ? absl::StrJoin(items, "\n") : "";
    SLUICE_RETURN_IF_ERROR(Share(root, bytes));
    lists.push_back(bytes.empty() ? std::vector<std::string>()
                                  : std::vector<std::string>(absl::StrSplit(bytes, '\n')));
  }
  size_t longest = 0;
  for (const auto& list : lists) longest = std::max(longest, list.size());
  for (size_t i = 0; i < longest; ++i) {
    std::vector<std::string> values;
    for (const auto& list : lists) values.push_back(i < list.size() ? list[i] : "no more");
    const std::string difference = Difference(values, ranks_);
    if (difference.empty()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("SL2001 ", what, ": ", difference, " (number ", i + 1, " of ", longest,
                     "). All ranks need the same, in the same order"));
  }
  return absl::InternalError(absl::StrCat(what, ": equal lists with different hashes"));
}

absl::Status GroupLink::Agree(const std::string& what, const std::vector<std::string>& items,
                              absl::Duration timeout) {
  SLUICE_RETURN_IF_ERROR(broken_);
  std::string text = Shortened(what);
  if (!items.empty()) {
    text += '\0';
    absl::StrAppend(&text, items.size(), " ", HashText(absl::StrJoin(items, "\n")));
  }
  std::vector<std::string> all;
  SLUICE_RETURN_IF_ERROR(Keep(Annotate(Exchange(text, timeout, all), what)));
  const absl::Status agreed = Compare(what, items, all);
  return absl::IsFailedPrecondition(agreed) ? agreed : Keep(agreed);
}

absl::Status GroupLink::Sum(absl::Span<float> data) {
  SLUICE_RETURN_IF_ERROR(broken_);
  AllReduceOptions options;
  options.host_of_rank = hosts_;
  AllReduceBuffers buffers;
  const CollectiveContext context{transport_, size(), NextOperation(),
                                  Deadline(data.size() * sizeof(float))};
  return Keep(AllReduce(context, options, data, buffers));
}

absl::Status GroupLink::Gather(absl::Span<const std::byte> mine, absl::Span<std::byte> out) {
  SLUICE_RETURN_IF_ERROR(broken_);
  return Keep(AllGather({transport_, size(), NextOperation(), Deadline(out.size())}, mine, out));
}

absl::Status GroupLink::Broadcast(int root, absl::Span<std::byte> data) {
  SLUICE_RETURN_IF_ERROR(broken_);
  return Keep(sluice::Broadcast({transport_, size(), NextOperation(), Deadline(data.size())},
                                Rank(root), data));
}

absl::Status GroupLink::Share(int root, std::string& bytes) {
  SLUICE_RETURN_IF_ERROR(broken_);
  std::vector<int> others;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != root) others.push_back(peer);
  }
  return Keep(Transfer(transport_, NextOperation(), timeout_, Rank(root), others, bytes));
}

}  // namespace sluice
