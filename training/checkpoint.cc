#include "training/checkpoint.h"

#include <google/protobuf/util/json_util.h>
#include <stdio.h>
#include <xxhash.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "training/atomic_file.h"

namespace sluice {
namespace {

bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
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

absl::Status WriteFiles(const std::string& folder, proto::CheckpointManifest& manifest,
                        const std::vector<CheckpointBlob>& blobs) {
  manifest.set_format_version(kCheckpointFormat);
  manifest.clear_files();
  for (const CheckpointBlob& blob : blobs) {
    if (!IsPlainName(blob.name) || blob.name == kManifestName) {
      return absl::InvalidArgumentError(
          absl::StrCat("checkpoint: \"", blob.name, "\" cannot be the name of one of its files"));
    }
    SLUICE_RETURN_IF_ERROR(WriteDurably(absl::StrCat(folder, "/", blob.name), blob.bytes));
    proto::CheckpointFile& file = *manifest.add_files();
    file.set_name(blob.name);
    file.set_bytes(static_cast<int64_t>(blob.bytes.size()));
    file.set_xxh3(XXH3_64bits(blob.bytes.data(), blob.bytes.size()));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string json, ManifestJson(manifest));
  SLUICE_RETURN_IF_ERROR(WriteDurably(absl::StrCat(folder, "/", kManifestName), json));
  return SyncDirectory(folder);
}

absl::Status SetLatest(const std::string& root, const std::string& name) {
  const std::string latest = root + "/latest";
  const std::string temporary = latest + ".tmp";
  SLUICE_RETURN_IF_ERROR(WriteDurably(temporary, name + "\n"));
  if (rename(temporary.c_str(), latest.c_str()) != 0) return FileError(errno, "rename to", latest);
  return SyncDirectory(root);
}

}  // namespace

const CheckpointBlob* Checkpoint::Find(absl::string_view name) const {
  for (const CheckpointBlob& blob : blobs) {
    if (blob.name == name) return &blob;
  }
  return nullptr;
}

std::string CheckpointFolder(Step completed) {
  return absl::StrFormat("step_%08d", completed.value);
}

absl::StatusOr<std::string> WriteCheckpoint(const std::string& root,
                                            proto::CheckpointManifest manifest,
                                            const std::vector<CheckpointBlob>& blobs) {
  const std::string name = CheckpointFolder(Step(manifest.step()));
  const std::string path = absl::StrCat(root, "/", name);
  const std::string temporary = path + ".tmp";
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) return FileError(error.value(), "create", root);
  std::filesystem::remove_all(temporary, error);  // of a writer that died
  if (error) return FileError(error.value(), "remove", temporary);
  std::filesystem::create_directory(temporary, error);
  if (error) return FileError(error.value(), "create", temporary);

  absl::Status status = WriteFiles(temporary, manifest, blobs);
  if (status.ok()) status = MoveFolderIntoPlace(temporary, path);
  if (!status.ok()) {
    std::filesystem::remove_all(temporary,
                                error);  // frees the disk; the first error is the one to tell
    return Annotate(status, "checkpoint");
  }
  status = SyncDirectory(root);
  if (status.ok()) status = SetLatest(root, name);
  if (!status.ok()) return Annotate(status, "checkpoint");
  return path;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  const std::string manifest_path = absl::StrCat(path, "/", kManifestName);
  auto json = ReadWhole(manifest_path);
  if (!json.ok()) return Annotate(json.status(), "no checkpoint");
  Checkpoint checkpoint;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // of a later minor version
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(*json, &checkpoint.manifest, options);
  if (!parsed.ok()) {
    return absl::DataLossError(absl::StrCat(manifest_path, ": ", parsed.ToString()));
  }
  if (checkpoint.manifest.format_version() != kCheckpointFormat) {
    return absl::DataLossError(absl::StrCat(manifest_path, ": format version ",
                                            checkpoint.manifest.format_version(),
                                            ", this program reads ", kCheckpointFormat));
  }
  for (const proto::CheckpointFile& file : checkpoint.manifest.files()) {
    const std::string file_path = absl::StrCat(path, "/", file.name());
    if (!IsPlainName(file.name())) {
      return absl::DataLossError(
          absl::StrCat(manifest_path, ": \"", file.name(), "\" is not a plain file name"));
    }
    auto bytes = ReadWhole(file_path);
    if (absl::IsNotFound(bytes.status())) {
      return absl::DataLossError(absl::StrCat(file_path, ": named in the manifest, but absent"));
    }
    if (!bytes.ok()) return bytes.status();
    if (static_cast<int64_t>(bytes->size()) != file.bytes()) {
      return absl::DataLossError(
          absl::StrCat(file_path, ": ", bytes->size(), " bytes, manifest says ", file.bytes()));
    }
    if (XXH3_64bits(bytes->data(), bytes->size()) != file.xxh3()) {
      return absl::DataLossError(absl::StrCat(file_path, ": its XXH3 is not the manifest's"));
    }
    checkpoint.blobs.push_back({file.name(), *std::move(bytes)});
  }
  return checkpoint;
}

absl::StatusOr<std::string> LatestCheckpoint(const std::string& root) {
  SLUICE_ASSIGN_OR_RETURN(std::string name, ReadWhole(root + "/latest"));
  absl::StripAsciiWhitespace(&name);
  if (!IsPlainName(name)) {
    return absl::DataLossError(
        absl::StrCat(root, "/latest: \"", name, "\" is not a folder's name"));
  }
  return absl::StrCat(root, "/", name);
}

}  // namespace sluice
