#include "models/graph/probe.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "models/graph/channel_groups.h"
#include "models/graph/cut.h"
#include "models/graph/groups.h"
#include "models/torch_guard.h"

namespace sluice::graph {
namespace {

using Tensors = std::vector<at::Tensor>;

Removal SomeUnits(const ChannelClass& channels, const ProbeOptions& options) {
  const RandomKey key =
      RandomKey(options.seed).With("probe").With(static_cast<uint64_t>(channels.id));
  std::vector<int64_t> units(channels.extent);
  std::iota(units.begin(), units.end(), 0);
  for (size_t i = units.size(); i > 1; --i) std::swap(units[i - 1], units[key.Below(i, i)]);
  const int64_t count = std::llround(options.share * static_cast<double>(channels.extent));
  units.resize(std::clamp<int64_t>(count, 1, channels.extent - 1));
  return {channels.id, std::move(units)};
}

double Difference(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].sizes() != b[i].sizes()) return std::numeric_limits<double>::infinity();
    if (a[i].numel() == 0) continue;
    const double largest = a[i].abs().max().item().toDouble();
    const double difference = a[i].sub(b[i]).abs().max().item().toDouble();
    const double relative = difference / std::max(largest, std::numeric_limits<double>::min());
    // A NaN is no agreement.
    worst = relative <= worst      ? worst
            : std::isnan(relative) ? std::numeric_limits<double>::infinity()
                                   : relative;
  }
  return worst;
}

class Prober {
 public:
  Prober(const Graph& graph, const Program& program, const AxisAnalysis& analysis,
         const Tensors& inputs, const ProbeOptions& options,
         const std::vector<ChannelClass>& classes, const Evaluator& whole)
      : graph_(graph),
        program_(program),
        analysis_(analysis),
        inputs_(inputs),
        options_(options),
        classes_(classes),
        whole_(whole),
        groups_(Groups(graph, analysis, classes)) {
    for (const State& state : program.states) states_[state.name] = state.tensor.detach();
  }

  absl::StatusOr<double> Try(const std::vector<Removal>& removals) const {
    SLUICE_ASSIGN_OR_RETURN(const Cut cut, MakeCut(graph_, analysis_, classes_, removals));
    SLUICE_ASSIGN_OR_RETURN(const Program smaller, ApplyCut(program_, cut));
    SLUICE_ASSIGN_OR_RETURN(const Evaluator cut_one,
                            Evaluator::Create(smaller, options_.precision));
    SLUICE_ASSIGN_OR_RETURN(const Tensors masked, whole_.Run(inputs_, Masked(removals)));
    SLUICE_ASSIGN_OR_RETURN(const Tensors without, cut_one.Run(inputs_));
    return Difference(masked, without);
  }

 private:
  // Parameters with zeros where the removed units' groups are.
  std::map<std::string, at::Tensor> Masked(const std::vector<Removal>& removals) const {
    std::vector<Group> removed;
    for (const Group& group : groups_) {
      for (const Removal& removal : removals) {
        if (removal.class_id == group.class_id &&
            std::count(removal.units.begin(), removal.units.end(), group.unit) > 0) {
          removed.push_back(group);
        }
      }
    }
    std::map<std::string, at::Tensor> masked;
    for (const Slice& slice : SlicesToZero(removed)) {
      at::Tensor& tensor = masked[slice.state];
      if (!tensor.defined()) tensor = states_.at(slice.state).clone();
      tensor.index_fill_(slice.dim, at::tensor(slice.indices), 0);
    }
    return masked;
  }

  const Graph& graph_;
  const Program& program_;
  const AxisAnalysis& analysis_;
  const Tensors& inputs_;
  const ProbeOptions& options_;
  const std::vector<ChannelClass>& classes_;
  const Evaluator& whole_;
  const std::vector<Group> groups_;
  std::map<std::string, at::Tensor> states_;
};

}  // namespace

absl::StatusOr<ProbeResult> Probe(const Imported& imported, const AxisAnalysis& analysis,
                                  const Tensors& inputs, const ProbeOptions& options,
                                  std::vector<ChannelClass>* classes) {
  Program program = imported.program;
  if (options.precision == Evaluator::Precision::kDouble) {  // once, rather than for each class
    for (State& state : program.states) {
      if (state.tensor.is_floating_point()) state.tensor = state.tensor.detach().to(at::kDouble);
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const Evaluator whole, Evaluator::Create(program, options.precision));
  SLUICE_RETURN_IF_ERROR(whole.Run(inputs).status());
  ProbeResult result;
  return TorchGuard("probe of channel classes", [&]() -> absl::StatusOr<ProbeResult> {
    const Prober prober(imported.graph, program, analysis, inputs, options, *classes, whole);
    std::vector<Removal> all;
    std::vector<std::pair<size_t, std::string>> failures;
    for (size_t i = 0; i < classes->size(); ++i) {
      const ChannelClass& channels = (*classes)[i];
      result.differences.push_back(0);
      if (!channels.prunable() || channels.extent < 2) continue;
      const Removal removal = SomeUnits(channels, options);
      const absl::StatusOr<double> difference = prober.Try({removal});
      if (!difference.ok()) {
        failures.emplace_back(i, absl::StrCat("probe failed: ", difference.status().message()));
        continue;
      }
      result.differences.back() = *difference;
      if (*difference <= options.tolerance) {
        all.push_back(removal);
      } else {
        failures.emplace_back(i, absl::StrCat("probe failed: outputs differ by ", *difference));
      }
    }
    if (!all.empty()) {
      SLUICE_ASSIGN_OR_RETURN(result.together, prober.Try(all));
      if (result.together > options.tolerance) {
        return absl::InternalError(
            absl::StrCat("probe of all ", all.size(), " classes together: outputs differ by ",
                         result.together, ", although each class alone is exact"));
      }
    }
    for (auto& [index, reason] : failures) (*classes)[index].reasons.push_back(std::move(reason));
    return result;
  });
}

}  // namespace sluice::graph
