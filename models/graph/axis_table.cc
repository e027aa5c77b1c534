#include "models/graph/axis_table.h"

#include <algorithm>
#include <deque>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace sluice::graph {

AxisId AxisTable::Add(Form form, int64_t extent, std::vector<AxisId> children) {
  Axis axis;
  axis.form = form;
  axis.extent = extent;
  axis.children = std::move(children);
  axes_.push_back(std::move(axis));
  return static_cast<AxisId>(axes_.size() - 1);
}

AxisId AxisTable::Atom(int64_t extent) { return Add(Form::kAtom, extent, {}); }

AxisId AxisTable::FixedAtom(int64_t extent, absl::string_view reason) {
  const AxisId atom = Atom(extent);
  Fix(atom, reason);
  return atom;
}

AxisId AxisTable::Product(const std::vector<AxisId>& factors) {
  std::vector<AxisId> flat;
  int64_t extent = 1;
  for (AxisId factor : factors) {
    const std::vector<AxisId> inside = Factors(factor);
    flat.insert(flat.end(), inside.begin(), inside.end());
    extent *= this->extent(factor);
  }
  if (flat.empty()) return Atom(1);
  if (flat.size() == 1) return flat[0];
  return Add(Form::kProduct, extent, std::move(flat));
}

AxisId AxisTable::Concatenation(const std::vector<AxisId>& members) {
  std::vector<AxisId> flat;
  int64_t extent = 0;
  for (AxisId member : members) {
    if (this->extent(member) == 0) continue;
    const std::vector<AxisId> inside = Members(member);
    flat.insert(flat.end(), inside.begin(), inside.end());
    extent += this->extent(member);
  }
  SLUICE_CHECK(!flat.empty(), "a concatenation of nothing");
  if (flat.size() == 1) return flat[0];
  return Add(Form::kConcatenation, extent, std::move(flat));
}

AxisId AxisTable::Find(AxisId axis) const {
  while (axes_[axis].same_as >= 0) axis = axes_[axis].same_as;
  return axis;
}

void AxisTable::Fix(AxisId axis, absl::string_view reason) {
  for (AxisId atom : Atoms(axis)) {
    axes_[atom].fixed = true;
    std::vector<std::string>& reasons = axes_[atom].reasons;
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) {
      reasons.emplace_back(reason);
    }
  }
}

bool AxisTable::Unify(AxisId a, AxisId b, absl::string_view where) {
  if (extent(a) == extent(b) && Refine(a, b)) return true;
  const std::string reason = absl::StrCat("its parts do not match in ", where);
  Fix(a, reason);
  Fix(b, reason);
  return false;
}

bool AxisTable::Refine(AxisId a, AxisId b) {
  a = Find(a);
  b = Find(b);
  if (a == b || extent(a) == 1) return true;
  if (axes_[a].form == Form::kAtom) {
    Bind(a, b);
    return true;
  }
  if (axes_[b].form == Form::kAtom) {
    Bind(b, a);
    return true;
  }
  const bool products = axes_[a].form == Form::kProduct && axes_[b].form == Form::kProduct;
  if (!(products ? RefineProducts(a, b) : RefineMembers(a, b))) return false;
  if (Find(a) != Find(b)) axes_[Find(b)].same_as = Find(a);
  return true;
}

void AxisTable::Bind(AxisId atom, AxisId other) {
  const bool fixed = axes_[atom].fixed;
  const std::vector<std::string> reasons = std::move(axes_[atom].reasons);
  axes_[atom].reasons.clear();
  axes_[atom].same_as = other;
  if (!fixed) return;
  for (const std::string& reason : reasons) Fix(other, reason);
}

bool AxisTable::RefineProducts(AxisId a, AxisId b) {
  const std::vector<AxisId> factors_a = Factors(a), factors_b = Factors(b);
  std::deque<AxisId> left(factors_a.begin(), factors_a.end());
  std::deque<AxisId> right(factors_b.begin(), factors_b.end());
  while (!left.empty() && !right.empty()) {
    std::deque<AxisId>& longer = extent(left[0]) >= extent(right[0]) ? left : right;
    std::deque<AxisId>& shorter = &longer == &left ? right : left;
    const AxisId whole = longer[0], outer = shorter[0];
    longer.pop_front();
    shorter.pop_front();
    if (extent(whole) == extent(outer)) {
      if (!Refine(whole, outer)) return false;
      continue;
    }
    const auto parts = SplitFactor(whole, extent(outer));
    if (!parts || !Refine(parts->first, outer)) return false;
    longer.push_front(parts->second);
  }
  return left.empty() && right.empty();
}

bool AxisTable::RefineMembers(AxisId a, AxisId b) {
  const std::vector<AxisId> members_a = Members(a), members_b = Members(b);
  std::deque<AxisId> left(members_a.begin(), members_a.end());
  std::deque<AxisId> right(members_b.begin(), members_b.end());
  while (!left.empty() && !right.empty()) {
    std::deque<AxisId>& longer = extent(left[0]) >= extent(right[0]) ? left : right;
    std::deque<AxisId>& shorter = &longer == &left ? right : left;
    const AxisId whole = longer[0], first = shorter[0];
    longer.pop_front();
    shorter.pop_front();
    if (extent(whole) == extent(first)) {
      if (!Refine(whole, first)) return false;
      continue;
    }
    const auto parts = SplitAt(whole, extent(first));
    if (!parts || !Refine(parts->first, first)) return false;
    longer.push_front(parts->second);
  }
  return left.empty() && right.empty();
}

std::optional<std::pair<AxisId, AxisId>> AxisTable::SplitFactor(AxisId axis, int64_t outer_extent) {
  axis = Find(axis);
  if (outer_extent <= 0 || extent(axis) % outer_extent != 0) return std::nullopt;
  if (outer_extent == 1) return std::pair(Atom(1), axis);
  if (outer_extent == extent(axis)) return std::pair(axis, Atom(1));
  const int64_t inner_extent = extent(axis) / outer_extent;
  if (axes_[axis].form == Form::kAtom) {
    const AxisId outer = Atom(outer_extent), inner = Atom(inner_extent);
    Bind(axis, Product({outer, inner}));
    return std::pair(outer, inner);
  }
  if (axes_[axis].form == Form::kConcatenation) {
    std::vector<AxisId> outer;
    std::optional<AxisId> inner;
    for (AxisId member : Members(axis)) {
      if (extent(member) % inner_extent != 0) return std::nullopt;
      const auto parts = SplitFactor(member, extent(member) / inner_extent);
      if (!parts) return std::nullopt;
      outer.push_back(parts->first);
      if (inner && !Refine(*inner, parts->second)) return std::nullopt;
      inner = parts->second;
    }
    return std::pair(Concatenation(outer), *inner);
  }
  std::vector<AxisId> outer;
  const std::vector<AxisId> factors = Factors(axis);
  int64_t missing = outer_extent;
  size_t next = 0;
  for (; missing % extent(factors[next]) == 0 && missing > 1; ++next) {
    outer.push_back(factors[next]);
    missing /= extent(factors[next]);
  }
  std::vector<AxisId> inner(factors.begin() + static_cast<std::ptrdiff_t>(next), factors.end());
  if (missing > 1) {
    const auto parts = SplitFactor(factors[next], missing);
    if (!parts) return std::nullopt;
    outer.push_back(parts->first);
    inner[0] = parts->second;
  }
  return std::pair(Product(outer), Product(inner));
}

std::optional<std::pair<AxisId, AxisId>> AxisTable::SplitAt(AxisId axis, int64_t offset) {
  axis = Find(axis);
  SLUICE_CHECK(offset > 0 && offset < extent(axis), "a split outside the axis");
  if (axes_[axis].form == Form::kAtom) {
    const AxisId first = Atom(offset), second = Atom(extent(axis) - offset);
    Bind(axis, Concatenation({first, second}));
    return std::pair(first, second);
  }
  if (axes_[axis].form == Form::kProduct) {
    const std::vector<AxisId> factors = Factors(axis);
    const int64_t inner_extent = extent(axis) / extent(factors[0]);
    if (offset % inner_extent != 0) return std::nullopt;
    const auto outer = SplitAt(factors[0], offset / inner_extent);
    if (!outer) return std::nullopt;
    const AxisId inner = Product({factors.begin() + 1, factors.end()});
    return std::pair(Product({outer->first, inner}), Product({outer->second, inner}));
  }
  std::vector<AxisId> before, after;
  for (AxisId member : Members(axis)) {
    if (offset <= 0) {
      after.push_back(member);
    } else if (extent(member) <= offset) {
      before.push_back(member);
    } else {
      const auto parts = SplitAt(member, offset);
      if (!parts) return std::nullopt;
      before.push_back(parts->first);
      after.push_back(parts->second);
    }
    offset -= extent(member);
  }
  return std::pair(Concatenation(before), Concatenation(after));
}

std::vector<AxisId> AxisTable::Factors(AxisId axis) const {
  axis = Find(axis);
  if (axes_[axis].form != Form::kProduct) {
    return extent(axis) == 1 ? std::vector<AxisId>{} : std::vector<AxisId>{axis};
  }
  std::vector<AxisId> factors;
  for (AxisId child : axes_[axis].children) {
    const std::vector<AxisId> inside = Factors(child);
    factors.insert(factors.end(), inside.begin(), inside.end());
  }
  return factors;
}

std::vector<AxisId> AxisTable::Members(AxisId axis) const {
  axis = Find(axis);
  if (axes_[axis].form != Form::kConcatenation) return {axis};
  std::vector<AxisId> members;
  for (AxisId child : axes_[axis].children) {
    const std::vector<AxisId> inside = Members(child);
    members.insert(members.end(), inside.begin(), inside.end());
  }
  return members;
}

std::vector<AxisId> AxisTable::Atoms(AxisId axis) const {
  axis = Find(axis);
  if (axes_[axis].form == Form::kAtom) return {axis};
  std::vector<AxisId> atoms;
  for (AxisId child : axes_[axis].children) {
    const std::vector<AxisId> inside = Atoms(child);
    atoms.insert(atoms.end(), inside.begin(), inside.end());
  }
  std::sort(atoms.begin(), atoms.end());
  atoms.erase(std::unique(atoms.begin(), atoms.end()), atoms.end());
  return atoms;
}

bool AxisTable::Contains(AxisId axis, AxisId atom) const {
  axis = Find(axis);
  if (axes_[axis].form == Form::kAtom) return axis == atom;
  return std::any_of(axes_[axis].children.begin(), axes_[axis].children.end(),
                     [&](AxisId child) { return Contains(child, atom); });
}

bool AxisTable::AllFixed(AxisId axis) const {
  const std::vector<AxisId> atoms = Atoms(axis);
  return std::all_of(atoms.begin(), atoms.end(),
                     [this](AxisId atom) { return fixed(atom) || extent(atom) == 1; });
}

std::optional<std::vector<int64_t>> AxisTable::UnitsAlong(AxisId axis, AxisId atom) const {
  axis = Find(axis);
  std::vector<int64_t> units;
  if (axes_[axis].form == Form::kAtom) {
    units.assign(static_cast<size_t>(extent(axis)), -1);
    if (axis == atom) {
      for (size_t i = 0; i < units.size(); ++i) units[i] = static_cast<int64_t>(i);
    }
    return units;
  }
  if (axes_[axis].form == Form::kConcatenation) {
    for (AxisId child : axes_[axis].children) {
      const auto inside = UnitsAlong(child, atom);
      if (!inside) return std::nullopt;
      units.insert(units.end(), inside->begin(), inside->end());
    }
    return units;
  }
  units = {-1};
  for (AxisId child : axes_[axis].children) {
    const auto inner = UnitsAlong(child, atom);
    if (!inner) return std::nullopt;
    std::vector<int64_t> both;
    both.reserve(units.size() * inner->size());
    for (int64_t outer_unit : units) {
      for (int64_t inner_unit : *inner) {
        if (outer_unit >= 0 && inner_unit >= 0 && outer_unit != inner_unit) return std::nullopt;
        both.push_back(std::max(outer_unit, inner_unit));
      }
    }
    units = std::move(both);
  }
  return units;
}

std::vector<std::pair<AxisId, AxisId>> AxisTable::Nested(AxisId axis) const {
  axis = Find(axis);
  std::vector<std::pair<AxisId, AxisId>> nested;
  std::vector<AxisId> outer;
  for (AxisId child : axes_[axis].children) {
    const std::vector<std::pair<AxisId, AxisId>> inside = Nested(child);
    nested.insert(nested.end(), inside.begin(), inside.end());
    if (axes_[axis].form != Form::kProduct) continue;
    const std::vector<AxisId> atoms = Atoms(child);
    for (AxisId out : outer) {
      for (AxisId in : atoms) {
        if (out != in) nested.emplace_back(out, in);
      }
    }
    outer.insert(outer.end(), atoms.begin(), atoms.end());
  }
  return nested;
}

int64_t AxisTable::Width(AxisId axis, AxisId atom) const {
  axis = Find(axis);
  if (axes_[axis].form == Form::kAtom) return axis == atom ? 1 : 0;
  int64_t least = 0, inside_child = 1;
  for (auto child = axes_[axis].children.rbegin(); child != axes_[axis].children.rend(); ++child) {
    const int64_t width = Width(*child, atom) * inside_child;
    if (width > 0 && (least == 0 || width < least)) least = width;
    if (axes_[axis].form == Form::kProduct) inside_child *= extent(*child);
  }
  return least;
}

}  // namespace sluice::graph
