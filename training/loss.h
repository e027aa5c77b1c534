#pragma once

#include <ATen/core/Tensor.h>

#include "models/batch.h"

namespace sluice {

/// Cross entropy of logits (n x classes, or n x T x classes) with the batch's targets, one per prediction, in
/// fp32 whatever the logits are in. Throws as torch does.

/// Sum over the samples of the mean over each one's positions: what is trained. With label smoothing e in
/// [0, 1], K classes: against the target with weight 1 - e + e / K and every other class with e / K.
/// Source: Szegedy et al., 2016, "Rethinking the Inception architecture", section 7. Blended samples (Batch::weights) have the blend of both targets' losses.
at::Tensor LossSumOverSamples(const at::Tensor& logits, const Batch& batch,
                              double label_smoothing = 0);

/// Sum over all predictions, without smoothing: what an evaluation reports.
at::Tensor LossSumOverPredictions(const at::Tensor& logits, const Batch& batch);

}  // namespace sluice
