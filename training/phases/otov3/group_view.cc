#include "training/phases/otov3/group_view.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice::otov3 {
namespace {

std::string NameOf(const graph::Group& group) {
  return absl::StrCat("unit ", group.unit, " of class ", group.class_id);
}

int64_t Product(absl::Span<const int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

absl::StatusOr<GroupView> GroupView::Create(std::vector<graph::Group> groups,
                                            absl::Span<const ParameterInfo> parameters) {
  if (groups.empty()) {
    return absl::InvalidArgumentError(
        "groups: there are none, so nothing of the model can be pruned");
  }
  std::sort(groups.begin(), groups.end(), [](const graph::Group& a, const graph::Group& b) {
    return std::tie(a.class_id, a.unit) < std::tie(b.class_id, b.unit);
  });
  GroupView view;
  view.groups_ = std::move(groups);
  view.copy_begins_.push_back(0);
  view.piece_begins_.push_back(0);
  for (int g = 0; g < view.size(); ++g) {
    SLUICE_RETURN_IF_ERROR(
        Annotate(view.AddGroup(g, parameters), absl::StrCat("groups: ", NameOf(view.group(g)))));
  }
  SLUICE_RETURN_IF_ERROR(view.CheckDisjoint(parameters));
  return view;
}

absl::Status GroupView::AddGroup(int g, absl::Span<const ParameterInfo> parameters) {
  const graph::Group& added = group(g);
  if (classes_.empty() || classes_.back().class_id != added.class_id) {
    classes_.push_back({added.class_id, g, 0});
  } else if (group(g - 1).unit == added.unit) {
    return absl::InvalidArgumentError("it is there twice");
  }
  ++classes_.back().units;
  int64_t elements = 0;
  for (const graph::Slice& slice : added.slices) {
    const auto found =
        std::find_if(parameters.begin(), parameters.end(),
                     [&](const ParameterInfo& parameter) { return parameter.name == slice.state; });
    if (found == parameters.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a slice of \"", slice.state, "\", which is no parameter of the model"));
    }
    const std::vector<int64_t> one = {1};  // of a single number
    const absl::Span<const int64_t> shape = found->shape.empty() ? one : found->shape;
    if (slice.dim < 0 || static_cast<size_t>(slice.dim) >= shape.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("dimension ", slice.dim, " of ", slice.state, ", it has ", shape.size()));
    }
    const auto dim = static_cast<size_t>(slice.dim);
    const int64_t extent = shape[dim];
    const int64_t outer = Product(shape.first(dim)), inner = Product(shape.subspan(dim + 1));
    const int parameter = static_cast<int>(found - parameters.begin());
    for (size_t i = 0; i < slice.indices.size();) {
      const int64_t first = slice.indices[i];
      size_t end = i + 1;
      while (end < slice.indices.size() && slice.indices[end] == slice.indices[end - 1] + 1) ++end;
      const int64_t last = slice.indices[end - 1];
      const bool ascending = i == 0 || first > slice.indices[i - 1];
      if (first < 0 || last >= extent || !ascending) {
        return absl::InvalidArgumentError(absl::StrCat("indices of dimension ", slice.dim, " of ",
                                                       slice.state, ": expected ascending below ",
                                                       extent, ", got ", first, " to ", last));
      }
      const int64_t run = static_cast<int64_t>(end - i) * inner;
      pieces_.push_back({parameter, g, first * inner, outer, extent * inner, run});
      elements += outer * run;
      i = end;
    }
  }
  if (elements == 0) return absl::InvalidArgumentError("it has no elements");
  copy_begins_.push_back(copy_begins_.back() + elements);
  piece_begins_.push_back(pieces_.size());
  return absl::OkStatus();
}

absl::Status GroupView::CheckDisjoint(absl::Span<const ParameterInfo> parameters) const {
  std::vector<std::vector<int>> last_class(parameters.size());  // by element, one above its index
  for (size_t c = 0; c < classes_.size(); ++c) {
    const int mark = static_cast<int>(c) + 1;
    for (int g = classes_[c].first; g < classes_[c].first + classes_[c].units; ++g) {
      bool disjoint = true;
      ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t) {
        std::vector<int>& marks = last_class[static_cast<size_t>(parameter)];
        if (marks.empty()) {
          marks.resize(
              static_cast<size_t>(Product(parameters[static_cast<size_t>(parameter)].shape)));
        }
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(begin + size); ++i) {
          disjoint = disjoint && marks[i] != mark;
          marks[i] = mark;
        }
      });
      if (disjoint) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "groups: ", NameOf(group(g)), " has an element twice, or shares it with another unit"));
    }
  }
  return absl::OkStatus();
}

absl::Span<const GroupView::Piece> GroupView::pieces(int g) const {
  const size_t begin = piece_begins_[static_cast<size_t>(g)];
  return absl::MakeConstSpan(pieces_).subspan(begin,
                                              piece_begins_[static_cast<size_t>(g) + 1] - begin);
}

// visit(parameter, begin, size, place in a copy)
template <class Visit>
void GroupView::ForEachRun(int g, const Visit& visit) const {
  int64_t place = copy_begin(g);
  for (const Piece& piece : pieces(g)) {
    for (int64_t r = 0; r < piece.count; ++r) {
      visit(piece.parameter, piece.begin + r * piece.stride, piece.run, place);
      place += piece.run;
    }
  }
}

void GroupView::Gather(int g, FloatSpans values, absl::Span<float> copy) const {
  SLUICE_CHECK(static_cast<int64_t>(copy.size()) == copied_elements(), "a copy holds all groups");
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t place) {
    std::copy_n(values[static_cast<size_t>(parameter)].data() + begin, size, copy.data() + place);
  });
}

GroupSums GroupView::Sums(int g, absl::Span<const float> copy, FloatSpans values,
                          double learning_rate) const {
  GroupSums sums;
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t place) {
    const float* const before = copy.data() + place;
    const float* const after = values[static_cast<size_t>(parameter)].data() + begin;
    for (int64_t i = 0; i < size; ++i) {
      const double x = before[i];
      const double moved = x - after[i];
      sums.xx += x * x;
      sums.xd += x * moved;
      sums.dd += moved * moved;
    }
  });
  const double scale = learning_rate > 0 ? 1 / learning_rate : 0;
  sums.xd *= scale;
  sums.dd *= scale * scale;
  return sums;
}

void GroupView::Subtract(int g, double factor, absl::Span<const float> copy,
                         FloatSpans values) const {
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t place) {
    const float* const before = copy.data() + place;
    float* const after = values[static_cast<size_t>(parameter)].data() + begin;
    for (int64_t i = 0; i < size; ++i) {
      after[i] = static_cast<float>(after[i] - factor * before[i]);
    }
  });
}

void GroupView::Scale(int g, double factor, FloatSpans values) const {
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t) {
    float* const first = values[static_cast<size_t>(parameter)].data() + begin;
    for (int64_t i = 0; i < size; ++i) first[i] = static_cast<float>(first[i] * factor);
  });
}

void GroupView::Zero(int g, FloatSpans values) const {
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t) {
    std::fill_n(values[static_cast<size_t>(parameter)].data() + begin, size, 0.0f);
  });
}

bool GroupView::IsZero(int g, FloatSpans values) const {
  bool zero = true;
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t) {
    const float* const first = values[static_cast<size_t>(parameter)].data() + begin;
    zero = zero && std::all_of(first, first + size, [](float value) { return value == 0; });
  });
  return zero;
}

std::vector<ElementRun> GroupView::RunsOf(int g) const {
  std::vector<ElementRun> runs;
  ForEachRun(g, [&](int parameter, int64_t begin, int64_t size, int64_t) {
    runs.push_back({parameter, begin, size});
  });
  return runs;
}

}  // namespace sluice::otov3
