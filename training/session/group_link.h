#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/transport/group_transport.h"
#include "comm/transport/transport.h"

namespace sluice {

/// What a program asks of some ranks together, on bytes and floats. First of all they agree on what they are about
/// to do: ranks that call different things are told so, and none waits for a call that never comes longer than
/// the timeout.
///
///     Agree("all-reduce ...")   every rank sends its text to every other one: N - 1 messages, one latency step
///     Sum(data)                 the operation itself (docs/collectives.md)
///
/// An error of the transport or a deadline leaves nobody knowing where the others are: every later call returns the
/// same. A disagreement does not.
/// \threadsafety the thread that uses the transport
class GroupLink {
 public:
  static constexpr int kMostGroups = 256;

  /// \param world    of all ranks; must outlive this
  /// \param ranks    that take part, this one among them; by rank in the group
  /// \param number   of the group, below kMostGroups; the same on all its ranks, and theirs alone
  /// \param hosts    a number of the host of each, by rank in the group
  /// \param timeout  of one operation, beside kBytesPerSecond
  GroupLink(Transport& world, std::vector<int> ranks, int number, std::vector<int> hosts,
            absl::Duration timeout);

  static constexpr double kBytesPerSecond = 1e7;  ///< a slower network is taken for a broken one

  int rank() const { return static_cast<int>(transport_.self().value); }
  int size() const { return transport_.peers(); }

  /// Returns when every rank has called it with the same `what` and `items`.
  /// \param what    the operation, and all that must be equal, in words
  /// \param items   more of it, e.g. tensors in order; of a difference the first is named
  /// \error kFailedPrecondition  SL2001 who has what where the others have something else
  /// \error kDeadlineExceeded    SL2002 the ranks that did not call within `timeout`
  /// \error of Transport
  absl::Status Agree(const std::string& what, const std::vector<std::string>& items,
                     absl::Duration timeout);
  absl::Status Agree(const std::string& what) { return Agree(what, {}, timeout_); }

  // After the ranks have agreed. Errors are those of the collectives (comm/collective).
  absl::Status Sum(absl::Span<float> data);
  absl::Status Gather(absl::Span<const std::byte> mine, absl::Span<std::byte> out);
  absl::Status Broadcast(int root, absl::Span<std::byte> data);
  /// Everybody gets root's bytes, of any length.
  absl::Status Share(int root, std::string& bytes);

 private:
  uint32_t NextOperation();
  absl::Time Deadline(size_t bytes) const;
  absl::Status Exchange(const std::string& mine, absl::Duration timeout,
                        std::vector<std::string>& all);
  absl::Status Compare(const std::string& what, const std::vector<std::string>& items,
                       const std::vector<std::string>& all);
  absl::Status Keep(absl::Status status);

  const std::vector<int> ranks_;
  const std::vector<int> hosts_;
  const uint32_t number_;
  const absl::Duration timeout_;
  GroupTransport transport_;
  uint32_t operations_ = 0;
  absl::Status broken_;
};

}  // namespace sluice
