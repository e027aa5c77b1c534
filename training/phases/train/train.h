#pragma once

#include "training/phases/phase.h"

namespace sluice {

/// The step that all phases have, and nothing else.
class TrainPhase : public TrainingPhase {};

}  // namespace sluice
