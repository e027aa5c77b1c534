#pragma once

#include <ATen/core/Tensor.h>

#include "models/batch.h"

namespace sluice {

/// Cross entropy of logits (n x classes, or n x T x classes) with the batch's targets, one per prediction, in
/// fp32. Throws as torch does.

/// Sum over the samples of the mean over each one's positions: what is trained. Blended samples (Batch::weights)
/// have the blend of both targets' losses.
at::Tensor LossSumOverSamples(const at::Tensor& logits, const Batch& batch);

/// Sum over all predictions: what an evaluation reports.
at::Tensor LossSumOverPredictions(const at::Tensor& logits, const Batch& batch);

}  // namespace sluice
