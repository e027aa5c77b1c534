#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "proto/checkpoint.pb.h"

namespace sluice {

/// One file of a checkpoint, in memory.
struct CheckpointBlob {
  std::string name;  ///< without folder
  std::string bytes;
};

/// Writing a checkpoint in parts: every rank its own files, then one of them the manifest.
///
///     WritePart, every rank     ROOT/step_00001200.tmp/...     each file is on the device
///     CommitCheckpoint, rank 0  all files are there: manifest, sync, --(1)--> ROOT/step_00001200
///                                                                   --(2)--> ROOT/latest
///
///     (1) rename; an older folder of that step is exchanged and then removed
///     (2) latest.tmp is written and renamed likewise
///
/// On any error, and after a crash at any moment, there is no new checkpoint, older ones are whole,
/// and what is left is at most a folder that ends in .tmp, which no reader looks at.
/// \threadsafety one writer per file, one committer per ROOT

/// \return names, sizes and checksums of what was written
/// \error kInvalidArgument  a blob's name that is not a plain file name
/// \error of the file system, with file and errno; the rank's files are removed again
absl::StatusOr<std::vector<proto::CheckpointFile>> WritePart(
    const std::string& root, Step completed, absl::Span<const CheckpointBlob> blobs);

/// Makes the parts of manifest.step() a checkpoint. Adds format, program version and files to the
/// manifest. Then removes all but the newest `keep_last` complete checkpoints up to this step, and
/// temporary folders of earlier steps; what of that fails is only logged.
/// \param files      of all ranks
/// \param keep_last  at least 1
/// \return ROOT/step_NNNNNNNN
/// \error kFailedPrecondition  a file that is not there or has another size: is ROOT shared?
/// \error kAlreadyExists       see MoveFolderIntoPlace
/// \error of the file system, with file and errno. After any the temporary folder is removed
absl::StatusOr<std::string> CommitCheckpoint(const std::string& root,
                                             proto::CheckpointManifest manifest,
                                             absl::Span<const proto::CheckpointFile> files,
                                             int keep_last);

/// Makes `root` if need be, and writes, reads back and removes a file in it: so that a folder that
/// cannot be written to is found before training, not at the first checkpoint.
/// \error of the file system, with path, errno and what to do
absl::Status ProbeCheckpointFolder(const std::string& root);

}  // namespace sluice
