#pragma once

#include <memory>

#include "models/data/dataset.h"
#include "models/data/synthetic.h"

namespace sluice {

/// `images`, made of MakeSyntheticSource(options, split), with the features as a second input: n x
/// kSyntheticFeatures in fp32.
/// \pre options.two_inputs, and images are not blended: features are not
std::unique_ptr<Dataset> WithSyntheticFeatures(std::unique_ptr<Dataset> images,
                                               const SyntheticOptions& options, Split split);

}  // namespace sluice
