#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "proto/checkpoint.pb.h"

namespace sluice {

/// One file of a checkpoint, in memory.
struct CheckpointBlob {
  std::string name;  ///< without folder
  std::string bytes;
};

struct Checkpoint {
  proto::CheckpointManifest manifest;
  std::vector<CheckpointBlob> blobs;  ///< in the manifest's order

  /// nullptr if there is none of that name.
  const CheckpointBlob* Find(absl::string_view name) const;
};

inline constexpr char kManifestName[] = "manifest.pb.json";
inline constexpr uint32_t kCheckpointFormat = 1;

/// "step_00001200"
std::string CheckpointFolder(Step completed);

/// Writes ROOT/step_NNNNNNNN with the blobs and, last, the manifest, to which it adds format
/// version and files; then sets ROOT/latest. Everything is made in a temporary folder, synced and
/// renamed: on any error, or a crash at any moment, there is no new checkpoint, and an older one of
/// the same step is whole.
///
///     ROOT/step_00001200.tmp/...  --(1)-->  ROOT/step_00001200/  --(2)-->  ROOT/latest
///     (1) files and folder are on the device: rename; an older folder is exchanged and then
///     removed (2) the checkpoint is on the device: latest.tmp is written and renamed likewise
///
/// \threadsafety one writer per ROOT
/// \return ROOT/step_NNNNNNNN
/// \error kInvalidArgument  a blob's name that is not a plain file name
/// \error others of the file system, with the path (atomic_file.h)
absl::StatusOr<std::string> WriteCheckpoint(const std::string& root,
                                            proto::CheckpointManifest manifest,
                                            const std::vector<CheckpointBlob>& blobs);

/// Reads ROOT/step_NNNNNNNN, `path`, and compares every file with the manifest.
/// \error kNotFound  no folder or no manifest in it
/// \error kDataLoss  manifest that does not parse, format from the future, file that is absent or
/// whose
///                   size or checksum differs
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);

/// The path that ROOT/latest names. \error kNotFound if there is none
absl::StatusOr<std::string> LatestCheckpoint(const std::string& root);

}  // namespace sluice
