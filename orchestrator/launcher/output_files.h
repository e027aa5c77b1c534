#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// The output of each worker in files of its own, beside the terminal:
///
///     DIR/gen.1/rank.003/stdout, stderr    what the process wrote that was started for generation 1
///                        error.json        how it ended, if badly
///     DIR/gen.4/rank.003/...               the one that took its place, started when generation 3 ran or had ended
///     DIR/driver.log                       lines of all others
///
/// Ranks are those of the start, with leading zeros to equal width. Nothing of another run is overwritten.
/// \threadsafety main thread
class OutputFiles {
 public:
  /// Makes the folders and opens all files of `workers` ranks, of generation 1.
  /// \error kFailedPrecondition  one exists: its path
  /// \error kResourceExhausted   the system's reason
  static absl::StatusOr<std::unique_ptr<OutputFiles>> Create(const std::string& directory,
                                                             int workers);

  /// A worker is started for `generation`: its output goes there from now on. Of two in one generation the second one's
  /// follows the first one's. \error as Create
  absl::Status StartWorker(int rank, int64_t generation);

  /// One line of the process called `name` ("rank 3", "profiler 0"), without its end.
  void Write(const std::string& name, bool is_stderr, absl::string_view line);

  /// Notes how `name` ended, as one JSON object. \param pid  -1 if it ran on another host
  void WriteError(const std::string& name, absl::string_view host, int pid, int exit_code,
                  absl::string_view what);

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Closer>;
  struct Worker {
    int64_t generation = 0;
    std::string folder;
    File out, err;
  };

  OutputFiles() = default;
  static absl::StatusOr<File> Open(const std::string& path);

  std::string directory_;
  int width_ = 1;                          // of a rank's digits
  std::map<std::string, Worker> workers_;  // by name
  File driver_;
};

}  // namespace sluice
