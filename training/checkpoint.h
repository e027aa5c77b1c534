#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "comm/reducer/reducer_state.h"
#include "proto/checkpoint.pb.h"

namespace sluice {

/// Checkpoints as they lie on disk, and reading them; docs/checkpoints.md has the layout. Writing is
/// in checkpoint_parts.h.

inline constexpr char kManifestName[] = "manifest.pb.json";
inline constexpr uint32_t kCheckpointFormat = 2;

/// "step_00001200"
std::string CheckpointFolder(Step completed);

/// Of one rank's reducer: "reducer_0003.bin". Of its model's buffers: "buffers_0003.safetensors";
/// rank 0's are with the parameters.
std::string ReducerFileName(Rank rank);
std::string BuffersFileName(Rank rank);

/// \param path  ROOT/step_NNNNNNNN
/// \error kNotFound  no folder or no manifest in it
/// \error kDataLoss  a manifest that does not parse, of another format, or with names that reach out
///                   of the folder
absl::StatusOr<proto::CheckpointManifest> ReadManifest(const std::string& path);

/// The bytes of one file of the checkpoint.
/// \error kNotFound  the manifest does not have it
/// \error kDataLoss  it is absent, or its size or checksum is not the manifest's: both values
absl::StatusOr<std::string> ReadCheckpointFile(const std::string& path,
                                               const proto::CheckpointManifest& manifest,
                                               absl::string_view name);

/// ReadManifest, and every file of it is as the manifest says.
absl::StatusOr<proto::CheckpointManifest> VerifyCheckpoint(const std::string& path);

/// The path that ROOT/latest names. \error kNotFound if there is none
absl::StatusOr<std::string> LatestCheckpoint(const std::string& root);

/// What to resume from.
struct WholeCheckpoint {
  std::string path;
  proto::CheckpointManifest manifest;
  std::vector<std::string> passed_over;  ///< newer ones, one line each: what is wrong with them
};

/// The newest checkpoint under `root` of which every file is as its manifest says: first those up to
/// the step that ROOT/latest names, the highest step first, then later ones, which belong to a run
/// that was given up by resuming from an earlier step.
/// \error kNotFound  none, with what is wrong with those that are there
absl::StatusOr<WholeCheckpoint> NewestWhole(const std::string& root);

/// The reducer's state of `rank` in a world of `world_size`, from the files of the checkpoint's ranks:
/// its own, or MergeReducerStates of those that become its. Empty bytes: the checkpoint has none.
/// \error as ReadCheckpointFile and MergeReducerStates, with the file
absl::StatusOr<MergedReducerState> ReducerStateFor(const std::string& path,
                                                   const proto::CheckpointManifest& manifest,
                                                   Rank rank, int world_size);

/// For checkpoint_parts.h.
/// A name without a folder, and not the manifest's.
bool IsCheckpointFileName(absl::string_view name);
/// The steps of all folders step_NNNNNNNN under `root`, ascending; none if there is no `root`.
std::vector<Step> CheckpointSteps(const std::string& root);

}  // namespace sluice
