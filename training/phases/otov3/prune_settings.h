#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "training/phases/otov3/half_space.h"
#include "training/phases/otov3/partition.h"

namespace sluice::otov3 {

/// How redundant groups become zero.
enum class Variant {
  kDhspg,  ///< penalty and half-space projection, and what is left by a linear shrink until the deadline
  kHesso,  ///< a linear shrink alone, in periods, each of which chooses its groups anew
};

/// What the groups are.
enum class Mode {
  kPrune,  ///< units of channel classes
  kErase,  ///< whole operators (stretches), of which what goes must leave a network
};

/// What a phase of kind otov3 does; shares are of the phase's steps.
struct PruneSettings {
  Mode mode = Mode::kPrune;
  Variant variant = Variant::kDhspg;
  bool hesso_scores = false;   ///< HessoScores instead of DhspgScores
  double score_average = 0.9;  ///< weight of the steps before in a score, in [0, 1)
  double cost_weight = 0;      ///< kappa of WeighByCost, 0 or more
  PartitionRules rules;        ///< of kErase the target alone
  HalfSpaceRule half_space;
  double warmup = 0.1;      ///< up to here groups are only scored, then they are divided
  double projection = 0.1;  ///< from here on the half-space projects; not before warmup
  double shrink = 0.6;      ///< dhspg: from here on what is left shrinks; not before warmup
  double deadline =
      0.8;  ///< all redundant groups are zero from here on; above warmup and shrink, at most 1
  int periods = 10;  ///< of hesso, at least 1
  /// Groups with a slice of a parameter whose name starts with one of these are left alone.
  std::vector<std::string> keep;
};

/// Of a phase of kind otov3. The half-space's penalty is what its optimiser's kind suggests.
PruneSettings PruneSettingsOf(const proto::Phase& phase);

/// The same in steps, counted from the phase's first.
struct Timeline {
  int64_t partition = 0;
  int64_t projection = 0;
  int64_t shrink = 0;
  int64_t deadline = 0;  ///< the step before it is the last that shrinks, to zero

  /// First step of a period, or the deadline for the one after the last.
  int64_t PeriodBegin(int period, int periods) const;
};

/// \param steps  of the phase
/// \error kInvalidArgument  a setting out of its range, shares that contradict each other, or fewer steps between
///                          partition and deadline than periods. Names the setting
absl::StatusOr<Timeline> MakeTimeline(const PruneSettings& settings, int64_t steps);

}  // namespace sluice::otov3
