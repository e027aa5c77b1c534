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
#include "models/graph/erase.h"
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

// Compares the whole network, with some of it at zero, with ones without that.
class Prober {
 public:
  // With the program, in the precision that it is probed with.
  static absl::StatusOr<Prober> Create(Program program, const Tensors& inputs,
                                       const ProbeOptions& options) {
    if (options.precision == Evaluator::Precision::kDouble) {  // once, rather than for each cut
      for (State& state : program.states) {
        if (state.tensor.is_floating_point()) state.tensor = state.tensor.detach().to(at::kDouble);
      }
    }
    SLUICE_ASSIGN_OR_RETURN(Evaluator whole, Evaluator::Create(program, options.precision));
    SLUICE_RETURN_IF_ERROR(whole.Run(inputs).status());
    return Prober(std::move(program), inputs, options, std::move(whole));
  }

  absl::StatusOr<double> Try(const std::vector<Group>& zero, const Cut& cut) const {
    SLUICE_ASSIGN_OR_RETURN(const Program smaller, ApplyCut(program_, cut));
    SLUICE_ASSIGN_OR_RETURN(const Evaluator cut_one,
                            Evaluator::Create(smaller, options_.precision));
    SLUICE_ASSIGN_OR_RETURN(const Tensors masked, whole_.Run(inputs_, Masked(zero)));
    SLUICE_ASSIGN_OR_RETURN(const Tensors without, cut_one.Run(inputs_));
    return Difference(masked, without);
  }

  // Why what was tried is not exact; empty = it is.
  std::string Failure(const absl::StatusOr<double>& difference) const {
    if (!difference.ok()) return absl::StrCat("probe failed: ", difference.status().message());
    if (*difference <= options_.tolerance) return "";
    return absl::StrCat("probe failed: outputs differ by ", *difference);
  }

  absl::Status CheckTogether(double difference, size_t classes) const {
    if (difference <= options_.tolerance) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("probe of all ", classes,
                                            " classes together: outputs differ by ", difference,
                                            ", although each of them alone is exact"));
  }

 private:
  Prober(Program program, const Tensors& inputs, const ProbeOptions& options, Evaluator whole)
      : program_(std::move(program)), inputs_(inputs), options_(options), whole_(std::move(whole)) {
    for (const State& state : program_.states) states_[state.name] = state.tensor.detach();
  }

  // Parameters with zeros where the groups are.
  std::map<std::string, at::Tensor> Masked(const std::vector<Group>& zero) const {
    std::map<std::string, at::Tensor> masked;
    for (const Slice& slice : SlicesToZero(zero)) {
      at::Tensor& tensor = masked[slice.state];
      if (!tensor.defined()) tensor = states_.at(slice.state).clone();
      tensor.index_fill_(slice.dim, at::tensor(slice.indices), 0);
    }
    return masked;
  }

  Program program_;
  const Tensors& inputs_;
  ProbeOptions options_;
  Evaluator whole_;
  std::map<std::string, at::Tensor> states_;
};

std::vector<Group> GroupsOf(const std::vector<Group>& all, const std::vector<Removal>& removals) {
  std::vector<Group> groups;
  for (const Group& group : all) {
    for (const Removal& removal : removals) {
      if (removal.class_id == group.class_id &&
          std::count(removal.units.begin(), removal.units.end(), group.unit) > 0) {
        groups.push_back(group);
      }
    }
  }
  return groups;
}

}  // namespace

absl::StatusOr<ProbeResult> Probe(const Imported& imported, const AxisAnalysis& analysis,
                                  const Tensors& inputs, const ProbeOptions& options,
                                  std::vector<ChannelClass>* classes) {
  return TorchGuard("probe of channel classes", [&]() -> absl::StatusOr<ProbeResult> {
    SLUICE_ASSIGN_OR_RETURN(const Prober prober, Prober::Create(imported.program, inputs, options));
    const std::vector<Group> groups = Groups(imported.graph, analysis, *classes);
    const auto try_without = [&](const std::vector<Removal>& removals) -> absl::StatusOr<double> {
      SLUICE_ASSIGN_OR_RETURN(const Cut cut, MakeCut(imported.graph, analysis, *classes, removals));
      return prober.Try(GroupsOf(groups, removals), cut);
    };
    ProbeResult result;
    std::vector<Removal> all;
    std::vector<std::pair<size_t, std::string>> failures;
    for (size_t i = 0; i < classes->size(); ++i) {
      const ChannelClass& channels = (*classes)[i];
      result.differences.push_back(0);
      if (!channels.prunable() || channels.extent < 2) continue;
      const Removal removal = SomeUnits(channels, options);
      const absl::StatusOr<double> difference = try_without({removal});
      if (difference.ok()) result.differences.back() = *difference;
      std::string failure = prober.Failure(difference);
      if (failure.empty()) {
        all.push_back(removal);
      } else {
        failures.emplace_back(i, std::move(failure));
      }
    }
    if (!all.empty()) {
      SLUICE_ASSIGN_OR_RETURN(result.together, try_without(all));
      SLUICE_RETURN_IF_ERROR(
          prober.CheckTogether(result.together, all.size()));
    }
    for (auto& [index, reason] : failures) (*classes)[index].reasons.push_back(std::move(reason));
    return result;
  });
}

absl::StatusOr<ProbeResult> ProbeErasures(const Imported& imported, const AxisAnalysis& analysis,
                                          const Tensors& inputs, const ProbeOptions& options,
                                          std::vector<Stretch>* stretches) {
  return TorchGuard("probe of operators", [&]() -> absl::StatusOr<ProbeResult> {
    SLUICE_ASSIGN_OR_RETURN(const Prober prober, Prober::Create(imported.program, inputs, options));
    const auto try_without = [&](const std::vector<int32_t>& erased) -> absl::StatusOr<double> {
      std::vector<Group> groups;
      for (int32_t one : erased) groups.push_back(ErasureGroup(imported.graph, *stretches, one));
      SLUICE_ASSIGN_OR_RETURN(const Cut cut,
                              CutStretches(imported.graph, analysis, *stretches, erased));
      return prober.Try(groups, cut);
    };
    ProbeResult result;
    std::vector<int32_t> order;
    for (size_t i = 0; i < stretches->size(); ++i) {
      Stretch& stretch = (*stretches)[i];
      result.differences.push_back(0);
      if (!stretch.erasable()) continue;
      std::vector<bool> erased(stretches->size(), false);
      erased[i] = true;
      if (const auto breach = ErasureBreach(imported.graph, *stretches, erased)) {
        stretch.reasons.push_back(absl::StrCat("without it ", *breach));
        continue;
      }
      const auto index = static_cast<int32_t>(i);
      const absl::StatusOr<double> difference = try_without({index});
      if (difference.ok()) result.differences.back() = *difference;
      std::string failure = prober.Failure(difference);
      if (!failure.empty()) stretch.reasons.push_back(std::move(failure));
      order.push_back(index);
    }
    // What fails only beside others stays: the last of them, until the rest is exact.
    for (;;) {
      const std::vector<int32_t> all =
          ChooseErasures(imported.graph, *stretches, order, order.size());
      if (all.empty()) return result;
      const absl::StatusOr<double> difference = try_without(all);
      const std::string failure = prober.Failure(difference);
      if (failure.empty()) {
        result.together = *difference;
        return result;
      }
      (*stretches)[all.back()].reasons.push_back(
          absl::StrCat("together with ", all.size() - 1, " others: ", failure));
    }
  });
}

}  // namespace sluice::graph
