#pragma once

#include <cstdint>
#include <ostream>
#include <string>

namespace sluice {

/// An integer that cannot be mistaken for another kind of integer. `Tag` is an empty type that names
/// the kind and gives the word used in messages.
template <class Tag>
struct Id {
  int64_t value = 0;

  constexpr Id() = default;
  constexpr explicit Id(int64_t v) : value(v) {}

  friend constexpr bool operator==(Id a, Id b) { return a.value == b.value; }
  friend constexpr bool operator!=(Id a, Id b) { return a.value != b.value; }
  friend constexpr bool operator<(Id a, Id b) { return a.value < b.value; }
  friend constexpr bool operator<=(Id a, Id b) { return a.value <= b.value; }
  friend constexpr bool operator>(Id a, Id b) { return a.value > b.value; }
  friend constexpr bool operator>=(Id a, Id b) { return a.value >= b.value; }
  constexpr Id operator+(int64_t n) const { return Id(value + n); }
  constexpr Id operator-(int64_t n) const { return Id(value - n); }

  template <class H>
  friend H AbslHashValue(H h, Id id) {
    return H::combine(std::move(h), id.value);
  }
  friend std::ostream& operator<<(std::ostream& out, Id id) { return out << ToString(id); }
  friend std::string ToString(Id id) {
    return std::string(Tag::kWord) + " " + std::to_string(id.value);
  }
};

struct RankTag {
  static constexpr char kWord[] = "rank";
};
struct StepTag {
  static constexpr char kWord[] = "step";
};
struct GenerationTag {
  static constexpr char kWord[] = "generation";
};

/// Global number of a process within its generation, from 0. Not stable across generations.
using Rank = Id<RankTag>;
/// Number of an optimiser step, from 0, over the whole job.
using Step = Id<StepTag>;
/// One membership of the cluster; grows by one at every change.
using Generation = Id<GenerationTag>;

}  // namespace sluice
