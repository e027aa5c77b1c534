#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::graph {

/// A dimension of a tensor, as AxisTable knows it.
using AxisId = int32_t;

/// What dimensions are made of, and which of them are cut together.
///
/// An axis is an atom, a product of factors (outermost first: heads x width, as a reshape makes it) or a concatenation of
/// members (as cat makes it). Unify() says that two axes must always lose the same indices. It refines both until their
/// atoms match: an atom becomes a product or a concatenation everywhere at once. Where no refinement matches, all that
/// is in both is fixed: nothing is cut there, which is always right.
///
/// Extents are above 0, but for members of a concatenation that are empty, which vanish. Factors of extent 1 vanish too.
/// Ids stay valid; Find() gives the one that stands for all axes that are the same. Not thread-safe.
class AxisTable {
 public:
  AxisId Atom(int64_t extent);
  AxisId FixedAtom(int64_t extent, absl::string_view reason);
  /// \param factors  outermost first; none gives an axis of extent 1
  AxisId Product(const std::vector<AxisId>& factors);
  /// \pre not all of `members` are empty
  AxisId Concatenation(const std::vector<AxisId>& members);

  int64_t extent(AxisId axis) const { return axes_[axis].extent; }
  AxisId Find(AxisId axis) const;

  /// Nothing of `axis` may be cut, because of `reason`.
  void Fix(AxisId axis, absl::string_view reason);
  /// The two axes lose the same indices. If that cannot be told in atoms, or the extents differ, both are fixed, with
  /// `where` in the reason, and the answer is false.
  bool Unify(AxisId a, AxisId b, absl::string_view where);

  /// `axis` as (outer, inner), outer of extent `outer_extent`. nullopt if it is made otherwise.
  std::optional<std::pair<AxisId, AxisId>> SplitFactor(AxisId axis, int64_t outer_extent);
  /// `axis` as its first `offset` indices and the others. nullopt if it is made otherwise. \pre 0 < offset < extent
  std::optional<std::pair<AxisId, AxisId>> SplitAt(AxisId axis, int64_t offset);

  /// The factors of a product, else the axis itself; atoms of extent 1 are left out.
  std::vector<AxisId> Factors(AxisId axis) const;
  /// The members of a concatenation, else the axis itself.
  std::vector<AxisId> Members(AxisId axis) const;
  /// The atoms in it, ascending, each once.
  std::vector<AxisId> Atoms(AxisId axis) const;
  bool Contains(AxisId axis, AxisId atom) const;
  /// Whether nothing in it may be cut.
  bool AllFixed(AxisId axis) const;

  /// \pre `atom` is one, found by Find() or Atoms()
  bool fixed(AxisId atom) const { return axes_[atom].fixed; }
  const std::vector<std::string>& reasons(AxisId atom) const { return axes_[atom].reasons; }

  /// For each index of `axis`, the index of `atom` that it belongs to; -1 = none. nullopt if an index belongs to two.
  std::optional<std::vector<int64_t>> UnitsAlong(AxisId axis, AxisId atom) const;
  /// Pairs of different atoms (a, b) with b inside a: every unit of a holds a part of every unit of b.
  std::vector<std::pair<AxisId, AxisId>> Nested(AxisId axis) const;
  /// Indices in a row that belong to one unit of `atom`, where it is in `axis`: the product of what is inside it. 0 = it is
  /// not there; the least if it is there more than once.
  int64_t Width(AxisId axis, AxisId atom) const;

  /// For each index of `axis`, whether it stays. `stays(atom)` is a vector<bool> of the atom's extent, or nullptr where
  /// all of it does.
  template <typename Stays>
  std::vector<bool> Kept(AxisId axis, const Stays& stays) const {
    const Axis& of = axes_[Find(axis)];
    std::vector<bool> kept;
    if (of.form == Form::kAtom) {
      const std::vector<bool>* mask = stays(Find(axis));
      return mask != nullptr ? *mask : std::vector<bool>(static_cast<size_t>(of.extent), true);
    }
    if (of.form == Form::kConcatenation) {
      for (AxisId member : of.children) {
        const std::vector<bool> part = Kept(member, stays);
        kept.insert(kept.end(), part.begin(), part.end());
      }
      return kept;
    }
    kept = {true};
    for (AxisId factor : of.children) {
      const std::vector<bool> inner = Kept(factor, stays);
      std::vector<bool> both;
      both.reserve(kept.size() * inner.size());
      for (bool outer_stays : kept) {
        for (bool inner_stays : inner) both.push_back(outer_stays && inner_stays);
      }
      kept = std::move(both);
    }
    return kept;
  }

 private:
  enum class Form { kAtom, kProduct, kConcatenation };
  struct Axis {
    Form form = Form::kAtom;
    int64_t extent = 1;
    std::vector<AxisId> children;
    AxisId same_as = -1;  // -1 = stands for itself
    bool fixed = false;   // atoms
    std::vector<std::string> reasons;
  };

  AxisId Add(Form form, int64_t extent, std::vector<AxisId> children);
  bool Refine(AxisId a, AxisId b);
  bool RefineProducts(AxisId a, AxisId b);
  bool RefineMembers(AxisId a, AxisId b);
  void Bind(AxisId atom, AxisId other);

  std::vector<Axis> axes_;
};

}  // namespace sluice::graph
