#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/graph/groups.h"
#include "training/trainer.h"

namespace sluice::otov3 {

/// Flat memory by parameter, in the trainer's order: values, gradients, or what is kept of them.
using FloatSpans = absl::Span<const absl::Span<float>>;

/// Of one group, x its values and d the direction that the optimiser took away from them.
struct GroupSums {
  double xx = 0;  ///< |x|^2
  double xd = 0;  ///< <x, d>
  double dd = 0;  ///< |d|^2
};

/// The groups of one class, in the order of their units.
struct ClassRange {
  int32_t class_id = 0;
  int first = 0;  ///< number of the class's first group
  int units = 0;
};

/// Where the elements of each group lie. Groups have numbers from 0 on, in the order of (class, unit). Sums are
/// in fp64 and in a fixed order: equal inputs give equal bits.
///
/// A slice of a tensor is a strided set of runs; nothing is copied to sum, scale or zero it. Cost of all: one
/// pass over the elements of the groups in question.
class GroupView {
 public:
  /// \param parameters  of which the groups' slices are; in the order of FloatSpans
  /// \error kInvalidArgument  no groups, an unknown parameter, a dimension or an index out of range, a unit twice,
  ///                          or an element twice in a class. Names the group
  static absl::StatusOr<GroupView> Create(std::vector<graph::Group> groups,
                                          absl::Span<const ParameterInfo> parameters);

  int size() const { return static_cast<int>(groups_.size()); }
  const graph::Group& group(int g) const { return groups_[static_cast<size_t>(g)]; }
  absl::Span<const ClassRange> classes() const { return classes_; }
  /// Of group g, counted from its slices.
  int64_t elements(int g) const { return copy_begin(g + 1) - copy_begin(g); }
  /// Of a copy: of all groups, one after the other.
  int64_t copied_elements() const { return copy_begins_.back(); }

  /// Copies group g to its place in `copy`, which has copied_elements().
  void Gather(int g, FloatSpans values, absl::Span<float> copy) const;

  /// x is what Gather copied and d = (x - values) / learning_rate, zero where the rate is: values are after the
  /// optimiser's step. How exact d is: fp32 has 2^-24 |x| / learning_rate of it.
  GroupSums Sums(int g, absl::Span<const float> copy, FloatSpans values,
                 double learning_rate) const;

  /// values -= factor * x, x what Gather copied.
  void Subtract(int g, double factor, absl::Span<const float> copy, FloatSpans values) const;
  void Scale(int g, double factor, FloatSpans values) const;
  void Zero(int g, FloatSpans values) const;
  /// Exactly, with either sign.
  bool IsZero(int g, FloatSpans values) const;

  std::vector<ElementRun> RunsOf(int g) const;

 private:
  /// `count` runs of `run` elements, `stride` apart.
  struct Piece {
    int parameter = 0;
    int group = 0;
    int64_t begin = 0;
    int64_t count = 0;
    int64_t stride = 0;
    int64_t run = 0;
  };

  GroupView() = default;
  absl::Status AddGroup(int g, absl::Span<const ParameterInfo> parameters);
  absl::Status CheckDisjoint(absl::Span<const ParameterInfo> parameters) const;
  int64_t copy_begin(int g) const { return copy_begins_[static_cast<size_t>(g)]; }
  absl::Span<const Piece> pieces(int g) const;
  template <class Visit>
  void ForEachRun(int g, const Visit& visit) const;

  std::vector<graph::Group> groups_;
  std::vector<ClassRange> classes_;
  std::vector<Piece> pieces_;                      // by group
  std::vector<size_t> piece_begins_;               // by group, and the end
  std::vector<int64_t> copy_begins_;               // by group, and the end
};

}  // namespace sluice::otov3
