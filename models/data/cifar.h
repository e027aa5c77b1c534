#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/data/image_set.h"

namespace sluice {

/// Colour images of 32 x 32 in 10 or 100 classes, in the binary version of their files: records
/// without a header.
///
///                CIFAR-10    CIFAR-100
///     label      byte 0      byte 1 (byte 0: one of 20 coarse classes, which is not used)
///     pixels     1 .. 3072   2 .. 3073: red, green, blue, each 32 rows of 32
///     training   data_batch_1.bin .. data_batch_5.bin     train.bin
///     test       test_batch.bin                           test.bin
///
/// Source: Krizhevsky, 2009, "Learning Multiple Layers of Features from Tiny Images".
enum class Cifar { k10, k100 };

/// Loads the files of `split` in `directory`; mean and deviation are those of the training set.
/// \error kNotFound  with the path, what to get and the job's key
/// \error kDataLoss  no whole number of records, none at all, or a label out of range, with its record
absl::StatusOr<ImageSet> LoadCifar(Cifar kind, const std::string& directory, Split split);

/// Appends the records of one file's bytes to `set`, which may be new.
/// \param where  the file, for errors
/// \error kDataLoss  as above; `set` is unchanged
absl::Status AppendCifarRecords(Cifar kind, absl::string_view bytes, absl::string_view where,
                                ImageSet& set);

}  // namespace sluice
