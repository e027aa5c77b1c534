#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/random.h"
#include "models/batch.h"
#include "models/data/data_shape.h"
#include "models/data/image_set.h"
#include "proto/job.pb.h"

namespace sluice {

/// Draws the random changes of training samples: sample i of a batch by key.With(first + i). Positions count
/// through all epochs (BatchSampler), so a sample is changed alike in every world size, and otherwise in
/// every epoch.
struct Augmentation {
  RandomKey key;
  int64_t first = 0;
};

/// Labelled samples by number.
/// \threadsafety all of it from any thread
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual const DataShape& shape() const = 0;
  /// Of data whose samples are one image each, with the mean and deviation that they are normalised by; else null.
  virtual const ImageFormat* image_format() const { return nullptr; }
  /// The samples of `indices` in their order, normalised.
  /// \param augmentation  draws the changes that the data set was made with; absent: there are none
  /// \pre every index is in [0, size())
  /// \error kDataLoss  a sample that cannot be read, with file and place
  virtual absl::StatusOr<Batch> Make(absl::Span<const int64_t> indices,
                                     const std::optional<Augmentation>& augmentation) const = 0;
};

/// To train on, and to evaluate on; of the same shape.
struct Datasets {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;
};

/// Opens what the job's `data` names (docs/data.md). What can be found wrong without decoding every image
/// is found here.
/// \param data  with every field set: defaults are the caller's to fill in
/// \error kNotFound, kDataLoss  data files, with path and what to install
/// \error kInvalidArgument      an unknown data.dataset; keys that do not go together or with the files
absl::StatusOr<Datasets> LoadDatasets(const proto::Data& data);

}  // namespace sluice
