#pragma once

#include <memory>

#include "absl/status/status.h"
#include "models/data/data_shape.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// BERT's encoder: every position sees all others. Norms last, exact GELU, learnt positions, one segment.
///
///     own sizes   width 256, depth 4, 4 heads (BERT-mini): 3,324,416 parameters for 256 tokens at 128 positions
///     BERT base   width 768, depth 12, 12 heads: 109,512,762 for 30522 tokens at 512 positions, of which the layers
///                 have 85,054,464; the published encoder has 2 x 768 more, for two segments
///
/// The head follows the data: with a target per position that of masked language models, whose output layer is the
/// token embedding; else the first position through a tanh layer to the classes. Nothing is masked here: targets are
/// the data set's. Where a target is the next token, as in text for gpt, an encoder sees it in its input.
/// Source: Devlin, Chang, Lee & Toutanova, 2018, "BERT: pre-training of deep bidirectional transformers".
/// \pre CheckBert
std::shared_ptr<Network> MakeBert(const proto::Model& model, const DataShape& shape);

/// \error kInvalidArgument  heads that do not divide the width
absl::Status CheckBert(const proto::Model& model, const DataShape& shape);

}  // namespace sluice
