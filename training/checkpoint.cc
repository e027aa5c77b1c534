#include "training/checkpoint.h"

#include <google/protobuf/util/json_util.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "training/atomic_file.h"

namespace sluice {
namespace {

bool IsPlainName(absl::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == absl::string_view::npos;
}

const proto::CheckpointFile* Find(const proto::CheckpointManifest& manifest,
                                  absl::string_view name) {
  for (const proto::CheckpointFile& file : manifest.files()) {
    if (file.name() == name) return &file;
  }
  return nullptr;
}

absl::StatusOr<std::string> ReadVerified(const std::string& folder,
                                         const proto::CheckpointFile& file) {
  const std::string path = absl::StrCat(folder, "/", file.name());
  auto bytes = ReadWhole(path);
  if (absl::IsNotFound(bytes.status())) {
    return absl::DataLossError(absl::StrCat(path, ": named in the manifest, but absent"));
  }
  if (!bytes.ok()) return bytes.status();
  if (static_cast<int64_t>(bytes->size()) != file.bytes()) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", bytes->size(), " bytes, the manifest says ", file.bytes()));
  }
  if (const uint64_t xxh3 = XXH3_64bits(bytes->data(), bytes->size()); xxh3 != file.xxh3()) {
    return absl::DataLossError(
        absl::StrFormat("%s: its XXH3 is %016x, the manifest says %016x", path, xxh3, file.xxh3()));
  }
  return bytes;
}

// As NewestWhole tries them.
std::vector<Step> BestFirst(const std::string& root) {
  std::vector<Step> steps = CheckpointSteps(root);
  std::reverse(steps.begin(), steps.end());
  const absl::StatusOr<std::string> latest = LatestCheckpoint(root);
  if (!latest.ok()) return steps;
  std::stable_partition(steps.begin(), steps.end(), [&](Step step) {
    return absl::StrCat(root, "/", CheckpointFolder(step)) == *latest ||
           CheckpointFolder(step) <= latest->substr(root.size() + 1);
  });
  return steps;
}

}  // namespace

std::string CheckpointFolder(Step completed) {
  return absl::StrFormat("step_%08d", completed.value);
}

std::string ReducerFileName(Rank rank) { return absl::StrFormat("reducer_%04d.bin", rank.value); }

std::string BuffersFileName(Rank rank) {
  return absl::StrFormat("buffers_%04d.safetensors", rank.value);
}

bool IsCheckpointFileName(absl::string_view name) {
  return IsPlainName(name) && name != kManifestName;
}

std::vector<Step> CheckpointSteps(const std::string& root) {
  std::vector<Step> steps;
  std::error_code error;
  for (std::filesystem::directory_iterator it(root, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    int64_t step = 0;
    absl::string_view number = name;
    if (!absl::ConsumePrefix(&number, "step_") || !absl::SimpleAtoi(number, &step)) continue;
    if (CheckpointFolder(Step(step)) == name) steps.push_back(Step(step));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

absl::StatusOr<proto::CheckpointManifest> ReadManifest(const std::string& path) {
  const std::string manifest_path = absl::StrCat(path, "/", kManifestName);
  auto json = ReadWhole(manifest_path);
  if (!json.ok()) return Annotate(json.status(), "no checkpoint");
  proto::CheckpointManifest manifest;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // of a later minor version
  const auto parsed = google::protobuf::util::JsonStringToMessage(*json, &manifest, options);
  if (!parsed.ok()) {
    return absl::DataLossError(absl::StrCat(manifest_path, ": ", parsed.ToString()));
  }
  if (manifest.format_version() != kCheckpointFormat) {
    return absl::DataLossError(absl::StrCat(manifest_path, ": format version ",
                                            manifest.format_version(), ", this program reads ",
                                            kCheckpointFormat));
  }
  for (const proto::CheckpointFile& file : manifest.files()) {
    if (IsCheckpointFileName(file.name())) continue;
    return absl::DataLossError(
        absl::StrCat(manifest_path, ": \"", file.name(), "\" is not a plain file name"));
  }
  return manifest;
}

absl::StatusOr<std::string> ReadCheckpointFile(const std::string& path,
                                               const proto::CheckpointManifest& manifest,
                                               absl::string_view name) {
  const proto::CheckpointFile* const file = Find(manifest, name);
  if (file == nullptr) {
    return absl::NotFoundError(absl::StrCat(path, ": its manifest lacks ", name));
  }
  return ReadVerified(path, *file);
}

absl::StatusOr<proto::CheckpointManifest> VerifyCheckpoint(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(proto::CheckpointManifest manifest, ReadManifest(path));
  for (const proto::CheckpointFile& file : manifest.files()) {
    SLUICE_RETURN_IF_ERROR(ReadVerified(path, file).status());
  }
  return manifest;
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

absl::StatusOr<WholeCheckpoint> NewestWhole(const std::string& root) {
  WholeCheckpoint whole;
  for (const Step step : BestFirst(root)) {
    whole.path = absl::StrCat(root, "/", CheckpointFolder(step));
    auto manifest = VerifyCheckpoint(whole.path);
    if (manifest.ok()) {
      whole.manifest = *std::move(manifest);
      return whole;
    }
    whole.passed_over.push_back(std::string(manifest.status().message()));
  }
  std::string message = absl::StrCat("no whole checkpoint under ", root);
  if (!whole.passed_over.empty()) {
    absl::StrAppend(&message, ": ", absl::StrJoin(whole.passed_over, "; "));
  }
  return absl::NotFoundError(message);
}

absl::StatusOr<MergedReducerState> ReducerStateFor(const std::string& path,
                                                   const proto::CheckpointManifest& manifest,
                                                   Rank rank, int world_size) {
  std::vector<Rank> from;
  for (Rank old(0); old < Rank(manifest.world_size()); old = old + 1) {
    if (old.value % world_size == rank.value) from.push_back(old);
  }
  if (from.empty()) from.push_back(Rank(0));  // for what all ranks have in common
  std::vector<std::string> bytes;
  for (const Rank old : from) {
    auto read = ReadCheckpointFile(path, manifest, ReducerFileName(old));
    if (absl::IsNotFound(read.status())) return MergedReducerState();
    if (!read.ok()) return read.status();
    bytes.push_back(*std::move(read));
  }
  auto merged = MergeReducerStates(std::vector<absl::string_view>(bytes.begin(), bytes.end()), rank,
                                   world_size);
  if (!merged.ok()) {
    return Annotate(merged.status(), absl::StrCat(path, "/", ReducerFileName(from.front())));
  }
  return merged;
}

}  // namespace sluice
