#pragma once

#include "proto/schedule.pb.h"

namespace sluice {

inline void AddEvaluation(const proto::Evaluation& part, proto::Evaluation* sum) {
  sum->set_predictions(sum->predictions() + part.predictions());
  sum->set_correct(sum->correct() + part.correct());
  sum->set_loss_sum(sum->loss_sum() + part.loss_sum());
}

/// Share of predictions that are right, and the mean loss; 0 where there are none.
inline double Accuracy(const proto::Evaluation& sum) {
  if (sum.predictions() == 0) return 0;
  return static_cast<double>(sum.correct()) / static_cast<double>(sum.predictions());
}
inline double MeanLoss(const proto::Evaluation& sum) {
  return sum.predictions() == 0 ? 0 : sum.loss_sum() / static_cast<double>(sum.predictions());
}

}  // namespace sluice
