#include "training/robust/robustness.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "models/data/dataset.h"
#include "training/checkpoint_network.h"
#include "training/model_state.h"
#include "training/robust/network_weights.h"
#include "training/robust/robustness_shard.h"

namespace sluice {
namespace {

// Signs of gradients that lead nowhere, after Athalye et al., 2018, "Obfuscated gradients give a false sense of security".
std::vector<std::string> AlarmsOf(const RobustnessCounts& counts, double eps) {
  std::vector<std::string> alarms;
  if (counts.pgd20 > counts.clean || counts.pgd50 > counts.clean) {
    alarms.push_back("more samples are right under attack than without one");
  }
  if (counts.pgd20 > counts.fgsm) {
    alarms.push_back("one step fools more samples than 20: gradients lead nowhere");
  }
  if (static_cast<double>(counts.pgd50 - counts.pgd20) >
      0.005 * static_cast<double>(counts.samples)) {
    alarms.push_back("20 steps fool more samples than 50 with restarts: gradients lead nowhere");
  }
  if (eps >= 0.5 && counts.worst_case * 10 > counts.samples) {
    alarms.push_back(absl::StrCat("more than a tenth is right within eps ", eps,
                                  ", where images can be turned to grey"));
  }
  return alarms;
}

}  // namespace

absl::StatusOr<RobustnessReport> MeasureRobustness(const proto::JobConfig& job,
                                                   const std::string& path,
                                                   const RobustnessQuestion& question) {
  SLUICE_ASSIGN_OR_RETURN(const Datasets data, LoadDatasets(job.data()));
  SLUICE_ASSIGN_OR_RETURN(const CheckpointNetwork trained,
                          LoadCheckpointNetwork(job, data.test->shape(), path));
  const std::shared_ptr<Network>& network = trained.network;
  RobustnessReport report;
  report.of_average = trained.of_average;
  SLUICE_ASSIGN_OR_RETURN(report.counts, AttackShardOf(*data.test, job.training().seed(), question,
                                                       Rank(0), 1, *network));
  for (const LayerWeight& layer : LayerWeightsOf(*network, ParametersInBackwardOrder(*network))) {
    report.spectra.push_back(SpectrumOf(layer.View()));
  }
  report.alarms = AlarmsOf(report.counts, question.eps);
  return report;
}

}  // namespace sluice
