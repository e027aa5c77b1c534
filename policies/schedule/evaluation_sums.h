#pragma once

#include <algorithm>
#include <cmath>

#include "proto/schedule.pb.h"

namespace sluice {

inline void AddEvaluation(const proto::Evaluation& part, proto::Evaluation* sum) {
  sum->set_predictions(sum->predictions() + part.predictions());
  sum->set_correct(sum->correct() + part.correct());
  sum->set_correct_top5(sum->correct_top5() + part.correct_top5());
  sum->set_loss_sum(sum->loss_sum() + part.loss_sum());
  sum->set_classes(std::max(sum->classes(), part.classes()));
  sum->set_per_position(sum->per_position() || part.per_position());
}

/// Share of predictions that are right, and the mean loss; 0 where there are none.
inline double Accuracy(const proto::Evaluation& sum) {
  if (sum.predictions() == 0) return 0;
  return static_cast<double>(sum.correct()) / static_cast<double>(sum.predictions());
}
/// The same for the five likeliest classes; says something where there are more.
inline bool HasTop5(const proto::Evaluation& sum) {
  return sum.predictions() > 0 && sum.classes() > 5;
}
inline double Top5Accuracy(const proto::Evaluation& sum) {
  if (sum.predictions() == 0) return 0;
  return static_cast<double>(sum.correct_top5()) / static_cast<double>(sum.predictions());
}
inline double MeanLoss(const proto::Evaluation& sum) {
  return sum.predictions() == 0 ? 0 : sum.loss_sum() / static_cast<double>(sum.predictions());
}

/// exp of the mean loss: of a text's positions, among how many tokens the model is as if undecided.
inline bool HasPerplexity(const proto::Evaluation& sum) {
  return sum.predictions() > 0 && sum.per_position();
}
inline double Perplexity(const proto::Evaluation& sum) { return std::exp(MeanLoss(sum)); }

}  // namespace sluice
