#include "comm/collective/all_reduce_cost.h"

#include <algorithm>

#include "base/check.h"
#include "comm/collective/doubling.h"

namespace sluice {
namespace {

// What starting, matching and ending a message costs a rank beside its latency.
constexpr double kMessageSeconds = 3e-6;
// Inside a host, where the link given is the one between hosts.
constexpr LinkEstimate kInsideHost{5e-6, 5e9, 0};

// Between hosts a ring keeps every link busy to the end. Of several senders at one link some wait,
// and halves wait for the step before: a 1 Gbit/s link between 4 hosts carried 3 to 8 % less with
// them (allreduce_bench, 8 to 64 MiB).
constexpr double kUnevenShare = 1.05;

// What the busiest host, and the busiest rank in it, do.
struct Price {
  double steps = 0;  // that leave a host
  double inside_steps = 0;
  double messages = 0;
  double bytes = 0;  // that leave a host
  double inside_bytes = 0;

  double Seconds(const LinkEstimate& link) const {
    return steps * link.latency_seconds + inside_steps * kInsideHost.latency_seconds +
           messages * kMessageSeconds + bytes / link.bytes_per_second +
           inside_bytes / kInsideHost.bytes_per_second;
  }
};

class World {
 public:
  World(int ranks, absl::Span<const int> host_of_rank) : ranks_(ranks), hosts_(host_of_rank) {
    SLUICE_CHECK(ranks >= 1 && (hosts_.empty() || hosts_.size() == static_cast<size_t>(ranks)),
                 "every rank has a host");
    // With one host alone the link is the one inside it, and no rank's but its own.
    const auto first = [&](int host) { return host == hosts_[0]; };
    if (std::all_of(hosts_.begin(), hosts_.end(), first)) hosts_ = {};
  }

  Price Direct(double bytes) const {
    Price price;
    price.steps = 2;
    price.messages = 2.0 * (ranks_ - 1);
    for (int rank = 0; rank < ranks_; ++rank) {
      const double beside = RanksBeside(rank);
      price.bytes = std::max(price.bytes, 2 * bytes / ranks_ * beside * (ranks_ - beside));
      price.inside_bytes = std::max(price.inside_bytes, 2 * bytes / ranks_ * (beside - 1));
    }
    if (ranks_ > 2 && !hosts_.empty()) price.bytes *= kUnevenShare;
    return price;
  }

  Price Ring(double bytes) const {
    Price price;
    AddSteps(
        2 * (ranks_ - 1), bytes / ranks_, [&](int rank) { return (rank + 1) % ranks_; }, price);
    return price;
  }

  Price HalvingDoubling(double bytes) const {
    const int exchanging = LargestPowerOfTwo(ranks_);
    Price price;
    if (exchanging < ranks_) {
      const auto guest = [&](int rank) {
        if (rank >= exchanging) return rank - exchanging;
        return rank + exchanging < ranks_ ? rank + exchanging : rank;
      };
      AddSteps(2, bytes, guest, price);
    }
    const bool whole = bytes <= static_cast<double>(kDoublingBytes);
    for (int distance = exchanging / 2; distance >= 1; distance /= 2) {
      if (!whole) bytes /= 2;
      const auto partner = [&](int rank) { return rank < exchanging ? rank ^ distance : rank; };
      AddSteps(whole ? 1 : 2, bytes, partner, price);
    }
    if (ranks_ > 2 && !hosts_.empty()) price.bytes *= kUnevenShare;
    return price;
  }

  Price Hierarchical(double bytes) const {
    if (hosts_.empty()) return Direct(bytes);
    double most = 0, fewest = ranks_, hosts = 0;
    for (int rank = 0; rank < ranks_; ++rank) {
      const double beside = RanksBeside(rank);
      most = std::max(most, beside);
      fewest = std::min(fewest, beside);
      hosts += 1 / beside;
    }
    Price price;
    price.steps = 2;
    price.inside_steps = most > 1 ? 2 : 0;
    price.messages = 2 * (most - 1) + 2 * (hosts - 1);
    price.bytes = 2 * (hosts - 1) / hosts * bytes * (hosts > 2 ? kUnevenShare : 1);
    price.inside_bytes = 2 * (most - 1) * bytes / (most == fewest ? most : 1);
    return price;
  }

 private:
  bool SameHost(int a, int b) const {
    return hosts_.empty() ? a == b
                          : hosts_[static_cast<size_t>(a)] == hosts_[static_cast<size_t>(b)];
  }

  int RanksBeside(int rank) const {
    if (hosts_.empty()) return 1;
    return static_cast<int>(
        std::count(hosts_.begin(), hosts_.end(), hosts_[static_cast<size_t>(rank)]));
  }

  // `steps` times every rank sends `bytes` to to(rank); to itself is to nobody.
  template <class To>
  void AddSteps(int steps, double bytes, To to, Price& price) const {
    int most_leaving = hosts_.empty() ? 1 : 0;
    bool inside = false;
    for (int rank = 0; rank < ranks_ && !hosts_.empty(); ++rank) {
      int leaving = 0;
      for (int beside = 0; beside < ranks_; ++beside) {
        if (SameHost(rank, beside) && !SameHost(beside, to(beside))) ++leaving;
      }
      most_leaving = std::max(most_leaving, leaving);
      inside = inside || (to(rank) != rank && SameHost(rank, to(rank)));
    }
    (most_leaving > 0 ? price.steps : price.inside_steps) += steps;
    price.messages += steps;
    price.bytes += steps * bytes * most_leaving;
    if (inside) price.inside_bytes += steps * bytes;
  }

  const int ranks_;
  absl::Span<const int> hosts_;  // empty: every rank counts as a host
};

}  // namespace

double AllReduceSeconds(AllReduceAlgorithm algorithm, int64_t bytes, int ranks,
                        absl::Span<const int> host_of_rank, const LinkEstimate& link) {
  SLUICE_CHECK(algorithm != AllReduceAlgorithm::kAuto, "a price needs an algorithm");
  if (ranks == 1 || bytes == 0) return 0;
  const World world(ranks, host_of_rank);
  const auto size = static_cast<double>(bytes);
  switch (algorithm) {
    case AllReduceAlgorithm::kRing:
      return world.Ring(size).Seconds(link);
    case AllReduceAlgorithm::kHalvingDoubling:
      return world.HalvingDoubling(size).Seconds(link);
    case AllReduceAlgorithm::kHierarchical:
      return world.Hierarchical(size).Seconds(link);
    case AllReduceAlgorithm::kAuto:
    case AllReduceAlgorithm::kDirect:
      break;
  }
  return world.Direct(size).Seconds(link);
}

AllReduceAlgorithm ChooseAllReduce(int64_t bytes, int ranks, absl::Span<const int> host_of_rank,
                                   const LinkEstimate& link) {
  AllReduceAlgorithm best = AllReduceAlgorithm::kDirect;
  double least = AllReduceSeconds(best, bytes, ranks, host_of_rank, link);
  for (AllReduceAlgorithm algorithm :
       {AllReduceAlgorithm::kRing, AllReduceAlgorithm::kHalvingDoubling,
        AllReduceAlgorithm::kHierarchical}) {
    const double seconds = AllReduceSeconds(algorithm, bytes, ranks, host_of_rank, link);
    if (seconds < least * (1 - 1e-9)) {
      best = algorithm;
      least = seconds;
    }
  }
  return best;
}

}  // namespace sluice
