#include "orchestrator/launcher/output_files.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

// mkdir -p
absl::Status MakeFolder(const std::string& path) {
  for (size_t i = 1; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') continue;
    if (mkdir(path.substr(0, i).c_str(), 0777) != 0 && errno != EEXIST) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "cannot make ", path, ": ", std::strerror(errno), ". Choose another --output-filename"));
    }
  }
  return absl::OkStatus();
}

void WriteLine(std::FILE* file, absl::string_view line) {
  std::fwrite(line.data(), 1, line.size(), file);
  std::fputc('\n', file);
  std::fflush(file);
}

}  // namespace

absl::StatusOr<OutputFiles::File> OutputFiles::Open(const std::string& path) {
  File file(std::fopen(path.c_str(), "wxe"));
  if (file != nullptr) return file;
  if (errno == EEXIST) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there already, of another run. Choose another --output-filename"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
}

absl::StatusOr<std::unique_ptr<OutputFiles>> OutputFiles::Create(const std::string& directory,
                                                                 int workers) {
  std::unique_ptr<OutputFiles> files(new OutputFiles);
  SLUICE_RETURN_IF_ERROR(MakeFolder(directory));
  SLUICE_ASSIGN_OR_RETURN(files->driver_, Open(absl::StrCat(directory, "/driver.log")));
  files->directory_ = directory;
  files->width_ = static_cast<int>(absl::StrCat(workers - 1).size());
  for (int rank = 0; rank < workers; ++rank) {
    SLUICE_RETURN_IF_ERROR(files->StartWorker(rank, 1));
  }
  return files;
}

absl::Status OutputFiles::StartWorker(int rank, int64_t generation) {
  Worker& worker = workers_[absl::StrCat("rank ", rank)];
  if (worker.generation == generation) return absl::OkStatus();
  const std::string folder =
      absl::StrFormat("%s/gen.%d/rank.%0*d", directory_, generation, width_, rank);
  SLUICE_RETURN_IF_ERROR(MakeFolder(folder));
  Worker fresh{generation, folder, nullptr, nullptr};
  SLUICE_ASSIGN_OR_RETURN(fresh.out, Open(folder + "/stdout"));
  SLUICE_ASSIGN_OR_RETURN(fresh.err, Open(folder + "/stderr"));
  worker = std::move(fresh);
  return absl::OkStatus();
}

void OutputFiles::Write(const std::string& name, bool is_stderr, absl::string_view line) {
  const auto worker = workers_.find(name);
  if (worker == workers_.end() || worker->second.out == nullptr) {
    WriteLine(driver_.get(), absl::StrCat("[", name, "] ", line));
  } else {
    WriteLine((is_stderr ? worker->second.err : worker->second.out).get(), line);
  }
}

void OutputFiles::WriteError(const std::string& name, absl::string_view host, int pid,
                             int exit_code, absl::string_view what) {
  nlohmann::ordered_json json = {{"process", name},
                                 {"host", std::string(host)},
                                 {"exit_code", exit_code},
                                 {"message", std::string(what)}};
  if (pid >= 0) json["pid"] = pid;
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto worker = workers_.find(name);
  if (worker == workers_.end() || worker->second.out == nullptr) {
    return WriteLine(driver_.get(), text);
  }
  auto file = Open(worker->second.folder + "/error.json");
  if (!file.ok()) {
    SLUICE_LOG(Error, file.status().message());
    return;
  }
  WriteLine(file->get(), text);
}

}  // namespace sluice
