#include "models/graph/channel_classes.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "models/graph/zero_invariance.h"

namespace sluice::graph {
namespace {

bool Matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

absl::Status CheckOptions(const Graph& graph, const ClassOptions& options) {
  if (options.divisor < 1) {
    return absl::InvalidArgumentError(absl::StrCat("channel classes: the divisor is ",
                                                   options.divisor, ": it must be 1 or more"));
  }
  for (const std::string& pattern : options.keep) {
    if (std::any_of(graph.values.begin(), graph.values.end(), [&](const Value& value) {
          return !value.state.empty() && Matches(pattern, value.state);
        })) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("channel classes: no parameter's name matches \"", pattern, "\""));
  }
  return absl::OkStatus();
}

/// All classes with their places, in the order in which the graph's values show them.
std::vector<ChannelClass> Collect(const Graph& graph, const AxisAnalysis& analysis) {
  const AxisTable& table = analysis.table;
  absl::flat_hash_map<AxisId, size_t> of_atom;
  std::vector<ChannelClass> classes;
  for (size_t id = 0; id < graph.values.size(); ++id) {
    if (!graph.values[id].trainable) continue;
    for (size_t dim = 0; dim < analysis.uses[id].size(); ++dim) {
      const AxisUse& use = analysis.uses[id][dim];
      if (!use.makes && !use.scales) continue;
      for (AxisId atom : table.Atoms(analysis.axes[id][dim])) {
        if (table.extent(atom) <= 1 || !of_atom.emplace(atom, classes.size()).second) continue;
        ChannelClass& added = classes.emplace_back();
        added.id = static_cast<int32_t>(classes.size() - 1);
        added.atom = atom;
        added.extent = table.extent(atom);
      }
    }
  }
  for (size_t id = 0; id < graph.values.size(); ++id) {
    for (size_t dim = 0; dim < analysis.uses[id].size(); ++dim) {
      const AxisUse& use = analysis.uses[id][dim];
      const AxisPlace place = {static_cast<ValueId>(id), static_cast<int32_t>(dim)};
      for (AxisId atom : table.Atoms(analysis.axes[id][dim])) {
        const auto found = of_atom.find(atom);
        if (found == of_atom.end()) continue;
        ChannelClass& channels = classes[found->second];
        if (use.makes) channels.makers.push_back(place);
        if (use.scales && !use.makes) channels.scalers.push_back(place);
        if (use.reads) channels.readers.push_back(place);
      }
    }
  }
  return classes;
}

/// Width of a unit in what makes it, so that a class of whole heads need not keep eight of them.
int64_t DivisorOf(const ChannelClass& channels, const AxisAnalysis& analysis, int64_t divisor) {
  int64_t width = 0;
  for (const AxisPlace& place : channels.makers) {
    width = std::gcd(
        width, analysis.table.Width(analysis.axes[place.state][static_cast<size_t>(place.dim)],
                                    channels.atom));
  }
  return width == 0 ? divisor : divisor / std::gcd(divisor, width);
}

std::vector<std::string> ReasonsOf(const ChannelClass& channels, const Graph& graph,
                                   const AxisAnalysis& analysis, const ClassOptions& options,
                                   const ZeroInvariance& zeros) {
  const AxisTable& table = analysis.table;
  if (table.fixed(channels.atom)) return table.reasons(channels.atom);
  std::vector<std::string> reasons;
  if (channels.makers.empty()) reasons.emplace_back("no layer makes it");
  if (channels.extent <= channels.divisor) {
    reasons.push_back(absl::StrCat("its ", channels.extent, " units are kept in multiples of ",
                                   channels.divisor));
  }
  std::set<ValueId> states;
  for (const std::vector<AxisPlace>* places : {&channels.makers, &channels.scalers}) {
    for (const AxisPlace& place : *places) {
      const Value& state = graph.values[place.state];
      const AxisId axis = analysis.axes[place.state][static_cast<size_t>(place.dim)];
      if (state.trainable && !states.insert(place.state).second) {
        reasons.push_back(absl::StrCat("two dimensions of ", state.state, " are made of it"));
      }
      if (!table.UnitsAlong(axis, channels.atom)) {
        reasons.push_back(absl::StrCat("elements of ", state.state, " belong to two of its units"));
      }
      for (const std::string& pattern : options.keep) {
        if (!Matches(pattern, state.state)) continue;
        reasons.push_back(absl::StrCat(state.state, " is kept by \"", pattern, "\""));
      }
    }
  }
  if (!reasons.empty()) return reasons;
  if (const auto breach = zeros.Breach(channels.atom)) reasons.push_back(*breach);
  return reasons;
}

/// Of two prunable classes, one inside the other, leaves one prunable.
void SettleNested(const Graph& graph, const AxisAnalysis& analysis, ClassOptions::Nested prefer,
                  std::vector<ChannelClass>* classes) {
  absl::flat_hash_map<AxisId, int32_t> of_atom;
  for (const ChannelClass& channels : *classes) {
    if (channels.prunable()) of_atom.emplace(channels.atom, channels.id);
  }
  std::set<std::pair<int32_t, int32_t>> before;  // (preferred, other)
  for (size_t id = 0; id < graph.values.size(); ++id) {
    for (size_t dim = 0; dim < analysis.uses[id].size(); ++dim) {
      const AxisUse& use = analysis.uses[id][dim];
      if (!use.makes && !use.scales) continue;
      for (const auto& [outer, inner] : analysis.table.Nested(analysis.axes[id][dim])) {
        const auto a = of_atom.find(outer), b = of_atom.find(inner);
        if (a == of_atom.end() || b == of_atom.end()) continue;
        before.insert(prefer == ClassOptions::Nested::kOuter ? std::pair(a->second, b->second)
                                                             : std::pair(b->second, a->second));
      }
    }
  }
  while (!before.empty()) {
    // One that nothing is preferred to; in a circle, the first.
    auto chosen = std::find_if(before.begin(), before.end(), [&](const auto& pair) {
      return std::none_of(before.begin(), before.end(),
                          [&](const auto& other) { return other.second == pair.first; });
    });
    if (chosen == before.end()) chosen = before.begin();
    const int32_t winner = chosen->first, loser = chosen->second;
    (*classes)[loser].reasons.push_back(absl::StrCat("its units are parts of those of class ",
                                                     winner, ", which is pruned instead"));
    for (auto it = before.begin(); it != before.end();) {
      it = it->first == loser || it->second == loser ? before.erase(it) : std::next(it);
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<ChannelClass>> FindClasses(const Graph& graph,
                                                      const AxisAnalysis& analysis,
                                                      const ClassOptions& options) {
  if (const absl::Status status = CheckOptions(graph, options); !status.ok()) return status;
  std::vector<ChannelClass> classes = Collect(graph, analysis);
  const ZeroInvariance zeros(graph, analysis);
  for (ChannelClass& channels : classes) {
    channels.divisor = DivisorOf(channels, analysis, options.divisor);
    channels.reasons = ReasonsOf(channels, graph, analysis, options, zeros);
  }
  SettleNested(graph, analysis, options.nested, &classes);
  return classes;
}

int64_t RoundKept(const ChannelClass& channels, int64_t kept, double max_removed_share) {
  if (!channels.prunable()) return channels.extent;
  const auto least = static_cast<int64_t>(
      std::ceil((1 - max_removed_share) * static_cast<double>(channels.extent) - 1e-9));
  const int64_t div = channels.divisor;
  int64_t rounded = std::max<int64_t>((kept + div / 2) / div, 1) * div;
  if (rounded < least) rounded = (least + div - 1) / div * div;
  return std::min(rounded, channels.extent);
}

}  // namespace sluice::graph
