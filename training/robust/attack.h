#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/random.h"
#include "models/data/dataset.h"
#include "models/zoo/network.h"
#include "proto/job.pb.h"

namespace sluice {

/// What an attack may do to an input: networks get normalised images, (pixel - mean) / deviation, attacks are told in
/// pixel values from 0 to 1.
struct PixelSpace {
  at::Tensor lower, upper;  ///< of black and white; all three broadcast to a batch of inputs
  at::Tensor unit;          ///< what one pixel value is in the network's input

  /// Of images, by channel.
  /// \error kInvalidArgument  the data are no images, or more than images
  static absl::StatusOr<PixelSpace> Of(const Dataset& data);
  /// Of inputs that are pixel values themselves.
  static PixelSpace Plain();
};

enum class AttackStart { kNone, kGauss, kUniform };
/// What is maximised. kDivergence: from the network's own answer to the clean input. kLogitsRatio: DLR (Croce & Hein, 2020,
/// "Reliable evaluation of adversarial robustness"), for 3 classes and more.
enum class AttackLoss { kCrossEntropy, kDivergence, kLogitsRatio };

/// Projected gradient ascent in an l-infinity ball.
/// Source: Madry et al., 2017, "Towards deep learning models resistant to adversarial attacks".
struct AttackPlan {
  double eps = 0;    ///< the ball's radius, in pixel values
  double alpha = 0;  ///< of one step
  int steps = 1;
  int restarts =
      1;  ///< kept per sample: the first that is misclassified, else the one of the highest loss
  AttackStart start = AttackStart::kNone;
  AttackLoss loss = AttackLoss::kCrossEntropy;
};

/// The plan of a phase; the loss is that which the attacked training loss asks for.
AttackPlan PlanOf(const proto::Tscnc& settings);

struct Attacked {
  at::Tensor inputs;  ///< as the clean ones, detached; within the ball and within black and white
  at::Tensor fooled;  ///< bool: n, misclassified
  int64_t not_finite =
      0;  ///< samples with a gradient that was not: they stayed where they were in that step
};

/// Attacks `inputs`. The network is in evaluation mode meanwhile, and in its mode before that afterwards; neither its
/// parameters' gradients nor its buffers change, and torch's random numbers are not drawn from: sample i starts where
/// key_of(i).With(restart) says. So what becomes of a sample does not depend on the rest of its batch, but by
/// rounding. Throws as torch does.
/// \param targets  int64: n
Attacked Attack(Network& network, const at::Tensor& inputs, const at::Tensor& targets,
                const AttackPlan& plan, const PixelSpace& space,
                absl::FunctionRef<RandomKey(int64_t sample)> key_of);

}  // namespace sluice
