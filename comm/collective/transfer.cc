#include "comm/collective/transfer.h"

#include <algorithm>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "comm/collective/collective_context.h"
#include "comm/collective/request_set.h"

namespace sluice {
namespace {

constexpr int kLength = 0;  // phases
constexpr int kPieces = 1;

// Who gives to a rank and whom it gives to.
struct Place {
  bool takes_part = false;
  bool is_root = false;
  Rank parent;
  std::vector<Rank> children;
};

// Place p receives from p without its highest bit.
Place PlaceOf(Rank self, Rank from, absl::Span<const int> to) {
  const auto rank_at = [&](size_t p) { return p == 0 ? from : Rank(to[p - 1]); };
  const size_t places = to.size() + 1;
  Place mine;
  size_t p = 0;
  while (p < places && rank_at(p) != self) ++p;
  if (p == places) return mine;
  mine.takes_part = true;
  mine.is_root = p == 0;
  size_t reach = 1;
  while (reach <= p) reach *= 2;
  if (p > 0) mine.parent = rank_at(p - reach / 2);
  for (; p + reach < places; reach *= 2) mine.children.push_back(rank_at(p + reach));
  return mine;
}

absl::Status MakeRoom(int64_t length, std::string& bytes) {
  if (length < 0 || length > kMostTransferBytes) {
    return absl::DataLossError(
        absl::StrCat("announced ", length, " bytes, expected at most ", kMostTransferBytes));
  }
  try {
    bytes.resize(static_cast<size_t>(length));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", length, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status Run(Transport& transport, uint32_t operation, absl::Duration timeout,
                 const Place& mine, std::string& bytes) {
  std::vector<RequestId> storage;
  const auto context = [&] {
    return CollectiveContext{transport, transport.peers(), operation, absl::Now() + timeout};
  };
  int64_t length = static_cast<int64_t>(bytes.size());
  const absl::Span<std::byte> length_bytes = AsBytes(absl::MakeSpan(&length, 1));
  if (!mine.is_root) {
    const CollectiveContext receive = context();
    RequestSet requests(receive, storage);
    requests.Receive(mine.parent, kLength, length_bytes);
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
    SLUICE_RETURN_IF_ERROR(MakeRoom(length, bytes));
  }
  {
    const CollectiveContext send = context();
    RequestSet requests(send, storage);
    for (Rank child : mine.children) requests.Send(child, kLength, length_bytes);
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  const absl::Span<std::byte> all = AsBytes(absl::MakeSpan(&bytes[0], bytes.size()));
  const int64_t pieces = (length + kTransferPiece - 1) / kTransferPiece;
  const auto piece = [&](int64_t i) {
    return all.subspan(static_cast<size_t>(i * kTransferPiece),
                       static_cast<size_t>(std::min(kTransferPiece, length - i * kTransferPiece)));
  };
  // Receivers are one piece behind with sending.
  for (int64_t i = 0; i <= pieces; ++i) {
    const CollectiveContext both = context();
    RequestSet requests(both, storage);
    if (!mine.is_root && i < pieces) requests.Receive(mine.parent, kPieces, piece(i));
    if (i > 0) {
      for (Rank child : mine.children) requests.Send(child, kPieces, piece(i - 1));
    }
    SLUICE_RETURN_IF_ERROR(requests.WaitForAll());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Transfer(Transport& transport, uint32_t operation, absl::Duration timeout, Rank from,
                      absl::Span<const int> to, std::string& bytes) {
  const Place mine = PlaceOf(transport.self(), from, to);
  if (!mine.takes_part || to.empty()) return absl::OkStatus();
  return Annotate(Run(transport, operation, timeout, mine, bytes),
                  absl::StrCat("transfer from ", ToString(from), " to ", to.size(),
                               to.size() == 1 ? " rank" : " ranks"));
}

}  // namespace sluice
