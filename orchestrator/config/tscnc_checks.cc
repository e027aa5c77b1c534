#include "orchestrator/config/tscnc_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "orchestrator/config/field_value.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;

bool IsAugmentedBy(const proto::Data& data, const std::string& name) {
  return std::find(data.augment().begin(), data.augment().end(), name) != data.augment().end();
}

void CheckPruning(const proto::JobConfig& job, const proto::Tscnc& tscnc,
                  std::vector<std::string>& problems) {
  if (tscnc.prune_begin() > tscnc.prune_end()) {
    problems.push_back(absl::StrCat("tscnc.prune_begin: expected at most tscnc.prune_end, ",
                                    tscnc.prune_end(), ", got ", tscnc.prune_begin()));
  }
  if (tscnc.sparsity() == 0 && tscnc.prune_end() > 0) {
    problems.push_back("tscnc.prune_end: nothing is pruned: set tscnc.sparsity too");
  }
  if (tscnc.sparsity() > 0 && job.training().ema_decay() > 0) {
    problems.push_back(
        "tscnc.sparsity: the weights' average would keep what is pruned: set training.ema_decay "
        "to 0");
  }
}

// What is attacked are single images with a target each.
void CheckAttack(const proto::JobConfig& job, const proto::Tscnc& tscnc,
                 std::vector<std::string>& problems) {
  if (tscnc.loss() == "clean") return;
  const auto refuse = [&](const std::string& why) {
    problems.push_back(absl::StrCat("tscnc.loss ", tscnc.loss(), ": ", why));
  };
  const proto::Data& data = job.data();
  if (data.dataset() == "bytes" || data.dataset() == "tokens") {
    refuse(absl::StrCat("attacks images, data.dataset is ", data.dataset(), ": use loss clean"));
  }
  if (data.inputs() == 2) refuse("attacks images alone: set data.inputs to 1, or use loss clean");
  if (IsAugmentedBy(data, "mixup")) {
    refuse("an image has one target: leave mixup out of data.augment, or use loss clean");
  }
  if (job.training().sync_batch_norm()) {
    refuse(
        "a rank whose attack fails would leave the others waiting: set training.sync_batch_norm "
        "to false, or use loss clean");
  }
  if (job.training().label_smoothing() > 0) {
    refuse("has no smoothed targets: set training.label_smoothing to 0, or use loss clean");
  }
  if (tscnc.attack().eps() > 0 && tscnc.attack().alpha() == 0) {
    refuse("an attack of tscnc.attack.alpha 0 does not move: set it above 0");
  }
}

}  // namespace

std::vector<std::string> TscncProblems(const proto::JobConfig& job, const proto::Phase& phase) {
  std::vector<std::string> problems;
  if (phase.kind() != "tscnc") {
    proto::Phase plain;
    SetDefaults(plain);
    if (phase.has_tscnc() && !MessageDifferencer::Equals(plain.tscnc(), phase.tscnc())) {
      problems.push_back(absl::StrCat("tscnc is for phases of kind tscnc, this is ", phase.kind()));
    }
    return problems;
  }
  if (job.training().local_steps() > 1) {
    problems.push_back(
        "kind tscnc: its constraints are terms of a global gradient: set training.local_steps to "
        "1");
  }
  CheckPruning(job, phase.tscnc(), problems);
  CheckAttack(job, phase.tscnc(), problems);
  return problems;
}

}  // namespace sluice
