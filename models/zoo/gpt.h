#pragma once

#include <memory>

#include "absl/status/status.h"
#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// GPT-2: a decoder that predicts at each position what follows, from that position and those before it. Norms first,
/// GELU by tanh, learnt positions, and the token embedding is the output layer too.
///
///     own sizes      width 288, depth 8, 6 heads: 8,103,744 parameters for 256 tokens (bytes) at 128 positions
///     GPT-2 small    width 768, depth 12, 12 heads: 124,439,808 for 50257 tokens at 1024 positions
///
/// Vocabulary and positions are the data set's. Projections back to the residual stream start 1 / sqrt(2 depth) times
/// smaller. Source: Radford et al., 2019, "Language models are unsupervised multitask learners".
/// \pre CheckGpt
std::shared_ptr<Network> MakeGpt(const proto::Model& model, const DataShape& shape);

/// \error kInvalidArgument  samples with one target, heads that do not divide the width
absl::Status CheckGpt(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
