#include "training/checkpoint_parts.h"

#include <google/protobuf/util/json_util.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "training/atomic_file.h"
#include "training/checkpoint.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr char kTemporary[] = ".tmp";

std::string TemporaryFolder(const std::string& root, Step completed) {
  return absl::StrCat(root, "/", CheckpointFolder(completed), kTemporary);
}

absl::StatusOr<std::string> ManifestJson(const proto::CheckpointManifest& manifest) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(manifest, &json, options);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat("checkpoint manifest as JSON: ", status.ToString()));
  }
  return json;
}

absl::Status MakeFolders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? FileError(error.value(), "create", path) : absl::OkStatus();
}

// What is there besides is of a run that died.
absl::Status RemoveAllBut(const std::string& folder, const std::set<std::string>& names) {
  std::error_code error;
  std::vector<fs::path> strangers;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (names.count(it->path().filename()) == 0) strangers.push_back(it->path());
  }
  for (const fs::path& stranger : strangers) {
    if (!error) fs::remove_all(stranger, error);
  }
  return error ? FileError(error.value(), "clean", folder) : absl::OkStatus();
}

absl::Status CheckFiles(const std::string& folder, absl::Span<const proto::CheckpointFile> files) {
  for (const proto::CheckpointFile& file : files) {
    if (!IsCheckpointFileName(file.name())) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", file.name(), "\" cannot be the name of one of its files"));
    }
    const std::string path = absl::StrCat(folder, "/", file.name());
    std::error_code error;
    const auto bytes = static_cast<int64_t>(fs::file_size(path, error));
    if (error) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, ": written by another rank, but not to be found here (", error.message(), "); is ",
          fs::path(folder).parent_path().string(), " the same folder on all hosts?"));
    }
    if (bytes == file.bytes()) continue;
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", bytes, " bytes here, but ",
                                                      file.bytes(),
                                                      " where it was written; is the folder the "
                                                      "same on all hosts?"));
  }
  return absl::OkStatus();
}

absl::Status SetLatest(const std::string& root, const std::string& name) {
  const std::string latest = root + "/latest";
  const std::string temporary = latest + kTemporary;
  SLUICE_RETURN_IF_ERROR(WriteDurably(temporary, name + "\n"));
  if (rename(temporary.c_str(), latest.c_str()) != 0) return FileError(errno, "rename to", latest);
  return SyncDirectory(root);
}

bool IsComplete(const std::string& path) {
  const auto manifest = ReadManifest(path);
  if (!manifest.ok()) return false;
  const std::vector<proto::CheckpointFile> files(manifest->files().begin(),
                                                 manifest->files().end());
  return CheckFiles(path, files).ok();
}

void RemoveFolder(const std::string& path) {
  // The manifest first: what a crash leaves of it is then no checkpoint.
  std::error_code error;
  fs::remove(absl::StrCat(path, "/", kManifestName), error);
  if (!error) fs::remove_all(path, error);
  if (error) {
    SLUICE_LOG(Warning, "checkpoint: ", FileError(error.value(), "remove", path).message());
  }
}

// Those after `newest` are of a run that was given up by resuming from before them: training
// writes over them when it gets there.
void RemoveOld(const std::string& root, Step newest, int keep_last) {
  std::vector<Step> steps = CheckpointSteps(root);
  int kept = 0;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (*step > newest) continue;
    const std::string path = absl::StrCat(root, "/", CheckpointFolder(*step));
    if (*step == newest) {
      ++kept;
    } else if (IsComplete(path) && ++kept > keep_last) {
      // Not in place: a crash would leave half of one under a checkpoint's name. As a temporary folder it goes below.
      const std::string temporary = TemporaryFolder(root, *step);
      std::error_code ignored;
      fs::remove_all(temporary, ignored);
      std::error_code error;
      fs::rename(path, temporary, error);
      if (error) RemoveFolder(path);
    }
  }
  std::error_code error;
  std::vector<std::string> stale;
  const std::string own = CheckpointFolder(newest) + kTemporary;
  for (fs::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename();
    if (!absl::StartsWith(name, "step_") || !absl::EndsWith(name, kTemporary)) continue;
    if (name.size() < own.size() || (name.size() == own.size() && name < own)) {
      stale.push_back(it->path());
    }
  }
  for (const std::string& path : stale) RemoveFolder(path);
}

absl::Status Commit(const std::string& root, proto::CheckpointManifest& manifest,
                    absl::Span<const proto::CheckpointFile> files) {
  const Step step(manifest.step());
  const std::string folder = TemporaryFolder(root, step);
  SLUICE_RETURN_IF_ERROR(CheckFiles(folder, files));
  manifest.set_format_version(kCheckpointFormat);
  manifest.set_sluice_version(kVersion);
  manifest.clear_files();
  std::set<std::string> names;
  for (const proto::CheckpointFile& file : files) {
    *manifest.add_files() = file;
    if (names.insert(file.name()).second) continue;
    return absl::InvalidArgumentError(absl::StrCat(folder, ": two ranks wrote ", file.name()));
  }
  SLUICE_RETURN_IF_ERROR(RemoveAllBut(folder, names));
  SLUICE_ASSIGN_OR_RETURN(const std::string json, ManifestJson(manifest));
  SLUICE_RETURN_IF_ERROR(WriteDurably(absl::StrCat(folder, "/", kManifestName), json));
  SLUICE_RETURN_IF_ERROR(SyncDirectory(folder));
  return MoveFolderIntoPlace(folder, absl::StrCat(root, "/", CheckpointFolder(step)));
}

}  // namespace

absl::StatusOr<std::vector<proto::CheckpointFile>> WritePart(
    const std::string& root, Step completed, absl::Span<const CheckpointBlob> blobs) {
  const std::string folder = TemporaryFolder(root, completed);
  std::vector<proto::CheckpointFile> files;
  absl::Status status = MakeFolders(folder);
  for (const CheckpointBlob& blob : blobs) {
    if (!status.ok()) break;
    if (!IsCheckpointFileName(blob.name)) {
      status = absl::InvalidArgumentError(
          absl::StrCat("\"", blob.name, "\" cannot be the name of one of its files"));
      break;
    }
    proto::CheckpointFile& file = files.emplace_back();
    file.set_name(blob.name);
    file.set_bytes(static_cast<int64_t>(blob.bytes.size()));
    file.set_xxh3(XXH3_64bits(blob.bytes.data(), blob.bytes.size()));
    status = WriteDurably(absl::StrCat(folder, "/", blob.name), blob.bytes);
  }
  if (status.ok()) status = SyncDirectory(folder);
  if (status.ok()) return files;
  std::error_code ignored;  // the first error is the one to tell; this frees the disk
  for (const proto::CheckpointFile& file : files) {
    fs::remove(absl::StrCat(folder, "/", file.name()), ignored);
  }
  fs::remove(folder, ignored);  // unless other ranks have files in it
  return Annotate(status, "checkpoint");
}

absl::StatusOr<std::string> CommitCheckpoint(const std::string& root,
                                             proto::CheckpointManifest manifest,
                                             absl::Span<const proto::CheckpointFile> files,
                                             int keep_last) {
  SLUICE_CHECK(keep_last >= 1, "the last good checkpoint stays");
  const Step step(manifest.step());
  absl::Status status = Commit(root, manifest, files);
  if (!status.ok()) {
    std::error_code ignored;
    fs::remove_all(TemporaryFolder(root, step), ignored);
    return Annotate(status, "checkpoint");
  }
  status = SyncDirectory(root);
  if (status.ok()) status = SetLatest(root, CheckpointFolder(step));
  if (!status.ok()) return Annotate(status, "checkpoint");
  RemoveOld(root, step, keep_last);
  return absl::StrCat(root, "/", CheckpointFolder(step));
}

absl::Status ProbeCheckpointFolder(const std::string& root) {
  constexpr char kText[] = "may be removed\n";
  char host[256] = "host";
  (void)gethostname(host, sizeof(host) - 1);
  // Ranks of several hosts probe at once, in containers with the same process id.
  const std::string path = absl::StrCat(root, "/probe_", host, "_", getpid(), kTemporary);
  absl::Status status = MakeFolders(root);
  if (status.ok()) status = WriteDurably(path, kText);
  if (status.ok()) {
    const auto back = ReadWhole(path);
    status = back.ok() && *back != kText
                 ? absl::DataLossError(absl::StrCat("read ", path, ": not what was written"))
                 : back.status();
  }
  std::error_code error;
  fs::remove(path, error);
  if (status.ok() && error) status = FileError(error.value(), "remove", path);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("checkpoints cannot be written: ", status.message(),
                                   ". Choose another checkpoint.directory, or make room there"));
}

}  // namespace sluice
