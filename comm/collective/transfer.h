#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "comm/transport/transport.h"

namespace sluice {

/// Copies `bytes` of `from`, of any length, to every rank of `to`, whose own are replaced. All other
/// ranks need not call. Along a binomial tree over `from` and then `to` in their order, in pieces, so
/// that a rank passes one piece on while it receives the next.
/// Cost: ceil(log2(receivers + 1)) times the bytes sent by `from`, at most.
/// \param to         distinct ranks, the same in the same order on all who call; without `from`
/// \param operation  names it, as in CollectiveContext
/// \param timeout    of one piece of at most kTransferPiece bytes
/// \error kDataLoss           a length beyond kMostTransferBytes
/// \error kResourceExhausted  no memory for that many bytes
/// \error of Transport; `bytes` is then unspecified at the receivers
absl::Status Transfer(Transport& transport, uint32_t operation, absl::Duration timeout, Rank from,
                      absl::Span<const int> to, std::string& bytes);

inline constexpr int64_t kTransferPiece = int64_t{4} << 20;
inline constexpr int64_t kMostTransferBytes = int64_t{1} << 42;

}  // namespace sluice
