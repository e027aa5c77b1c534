// The time of Sluice's all-reduce, in the columns of nccl-tests: `allreduce_bench --help`.
//
// The process that the user starts never touches UCX: it runs itself once per rank, hands the ranks
// each other's addresses and puts their times together.

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "comm/collective/all_reduce_algorithm.h"
#include "tools/bench/allreduce_options.h"
#include "tools/bench/allreduce_pipe.h"
#include "tools/bench/allreduce_rank.h"
#include "tools/bench/allreduce_report.h"

extern char** environ;

namespace sluice {
namespace {

using Network = AllReduceBenchOptions::Network;

constexpr int kPipeOfRank = 3;  // the descriptor in a rank's process
constexpr int kBadCommandLine = 2;

std::string ThisProgram() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  return length > 0 ? std::string(path.data(), static_cast<size_t>(length)) : "allreduce_bench";
}

absl::StatusOr<std::string> FindNetlab() {
  const std::vector<std::string> places = {
      ThisProgram() + ".runfiles/sluice/tools/netlab/netlab.sh", "tools/netlab/netlab.sh"};
  for (const std::string& place : places) {
    if (access(place.c_str(), X_OK) == 0) return place;
  }
  return absl::NotFoundError(absl::StrCat("no netlab.sh at ", absl::StrJoin(places, " or "),
                                          "; start the benchmark from the repository's root"));
}

// Puts hosts around this program and runs it again with them. Returns only on an error.
absl::Status RunAgainOnHosts(const AllReduceBenchOptions& options,
                             const std::vector<std::string>& args) {
  SLUICE_ASSIGN_OR_RETURN(const std::string netlab, FindNetlab());
  const std::string prefix = absl::StrCat("ar", absl::Hex(std::random_device()() & 0xffffff));
  std::vector<std::string> words = {netlab,
                                    "with",
                                    prefix,
                                    absl::StrCat(options.ranks),
                                    options.rate,
                                    ThisProgram(),
                                    "--netlab-prefix",
                                    prefix};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(netlab.c_str(), argv.data());
  return absl::UnavailableError(absl::StrCat(netlab, ": ", std::strerror(errno)));
}

absl::StatusOr<double> MeasureLink(const std::string& prefix) {
  SLUICE_ASSIGN_OR_RETURN(const std::string netlab, FindNetlab());
  const std::string command = absl::StrCat("'", netlab, "' goodput ", prefix, " 1");
  FILE* const output = popen(command.c_str(), "re");
  std::array<char, 64> line{};
  const bool read = output != nullptr && std::fgets(line.data(), line.size(), output) != nullptr;
  double megabytes = 0;
  if (output == nullptr || pclose(output) != 0 || !read ||
      !absl::SimpleAtod(line.data(), &megabytes)) {
    return absl::UnavailableError(absl::StrCat("`", command, "` did not measure the link"));
  }
  return megabytes * 1e6;
}

// The process of one rank. Destroying it kills what still runs.
class RankProcess {
 public:
  static absl::StatusOr<RankProcess> Start(const AllReduceBenchOptions& options, int rank,
                                           const std::vector<std::string>& args) {
    SLUICE_ASSIGN_OR_RETURN(auto ends, AllReducePipe::CreatePair());
    std::vector<std::string> words;
    if (options.network == Network::kNetlab) {
      words = {"ip", "netns", "exec", absl::StrCat(options.netlab_prefix, "-h", rank)};
    }
    words.push_back(ThisProgram());
    words.insert(words.end(), args.begin(), args.end());
    for (const std::string& word :
         {std::string("--rank"), absl::StrCat(rank), std::string("--link-bytes-per-second"),
          absl::StrCat(options.link_bytes_per_second)}) {
      words.push_back(word);
    }
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends.second.fd(), kPipeOfRank);
    pid_t process = 0;
    const int error = posix_spawnp(&process, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      return absl::UnavailableError(absl::StrCat("starting ", argv[0], ": ", std::strerror(error)));
    }
    return RankProcess(process, std::move(ends.first));
  }

  RankProcess(RankProcess&& other) noexcept
      : process_(std::exchange(other.process_, 0)), pipe_(std::move(other.pipe_)) {}
  RankProcess& operator=(RankProcess&&) = delete;
  ~RankProcess() {
    if (process_ == 0) return;
    kill(process_, SIGKILL);
    Reap();
  }

  AllReducePipe& pipe() { return pipe_; }

  // Waits for its end. \return "" after exit status 0
  std::string Reap() {
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = 0;
    if (WIFSIGNALED(status)) return absl::StrCat("killed by signal ", WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? "" : absl::StrCat("exit status ", WEXITSTATUS(status));
  }

 private:
  RankProcess(pid_t process, AllReducePipe pipe) : process_(process), pipe_(std::move(pipe)) {}

  pid_t process_;
  AllReducePipe pipe_;
};

absl::Status ExchangeAddresses(std::vector<RankProcess>& ranks) {
  std::vector<std::string> addresses;
  for (RankProcess& rank : ranks) {
    SLUICE_ASSIGN_OR_RETURN(std::string address, ReadFromRank(rank.pipe()));
    addresses.push_back(std::move(address));
  }
  for (RankProcess& rank : ranks) {
    for (const std::string& address : addresses) {
      SLUICE_RETURN_IF_ERROR(rank.pipe().Write(address));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<AllReduceSummary> ReadSummary(int64_t bytes, std::vector<RankProcess>& ranks) {
  std::vector<AllReduceTimes> times;
  for (RankProcess& rank : ranks) {
    SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadFromRank(rank.pipe()));
    SLUICE_ASSIGN_OR_RETURN(AllReduceTimes of_rank, ParseAllReduceTimes(text));
    times.push_back(std::move(of_rank));
  }
  return Summarise(bytes, times);
}

absl::StatusOr<std::vector<AllReduceRow>> Measure(const AllReduceBenchOptions& options,
                                                  std::vector<RankProcess>& ranks) {
  SLUICE_RETURN_IF_ERROR(ExchangeAddresses(ranks));
  std::vector<AllReduceRow> rows;
  for (int64_t bytes : options.Sizes()) {
    AllReduceRow row;
    row.bytes = bytes;
    if (options.out_of_place) {
      SLUICE_ASSIGN_OR_RETURN(row.out_of_place, ReadSummary(bytes, ranks));
    }
    SLUICE_ASSIGN_OR_RETURN(row.in_place, ReadSummary(bytes, ranks));
    std::cout << TableRow(options, row) << std::flush;
    rows.push_back(std::move(row));
  }
  return rows;
}

// Waits for the ends of all ranks. \return `measured`, or with it what the ranks say of their ends
absl::Status AwaitEnds(const absl::Status& measured, std::vector<RankProcess>& ranks) {
  std::string ends;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    // Whatever else it sent; the last is its error or the end of the pipe.
    absl::StatusOr<std::string> text = "";
    while (text.ok()) text = ReadFromRank(ranks[rank].pipe());
    const std::string end = ranks[rank].Reap();
    if (!end.empty()) {
      absl::StrAppend(&ends, "\n  rank ", rank, ": ", end, "; ", text.status().message());
    }
  }
  if (ends.empty()) return measured;
  return absl::UnavailableError(absl::StrCat("the measurement failed: ", measured.message(), ends));
}

absl::Status Launch(AllReduceBenchOptions options, const std::vector<std::string>& args) {
  if (options.network == Network::kNetlab && options.ranks > 1) {
    SLUICE_ASSIGN_OR_RETURN(options.link_bytes_per_second, MeasureLink(options.netlab_prefix));
  }
  std::vector<std::string> command_line = {"allreduce_bench"};
  command_line.insert(command_line.end(), args.begin(), args.end());
  const AllReduceMachine machine = DescribeMachine(std::move(command_line));
  std::cout << TableHead(options, machine) << std::flush;

  std::vector<RankProcess> ranks;
  for (int rank = 0; rank < options.ranks; ++rank) {
    SLUICE_ASSIGN_OR_RETURN(RankProcess process, RankProcess::Start(options, rank, args));
    ranks.push_back(std::move(process));
  }
  absl::StatusOr<std::vector<AllReduceRow>> rows = Measure(options, ranks);
  SLUICE_RETURN_IF_ERROR(AwaitEnds(rows.status(), ranks));
  std::cout << TableFoot(options, *rows) << std::flush;

  if (!options.json.empty()) {
    // `bazel run` starts programs elsewhere than its user is.
    const char* const where = std::getenv("BUILD_WORKING_DIRECTORY");
    const bool relative = options.json[0] != '/' && where != nullptr;
    const std::string path = relative ? absl::StrCat(where, "/", options.json) : options.json;
    std::ofstream file(path);
    file << ToJson(options, machine, *rows);
    if (!file.flush())
      return absl::UnavailableError(absl::StrCat("--json ", path, ": cannot be written"));
  }
  for (const AllReduceRow& row : *rows) {
    if (row.in_place.wrong > 0 || (row.out_of_place && row.out_of_place->wrong > 0)) {
      return absl::DataLossError(absl::StrCat("wrong values at ", row.bytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

int RunRank(const AllReduceBenchOptions& options) {
  // Ends with the process that started it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  AllReducePipe pipe(kPipeOfRank);
  fcntl(kPipeOfRank, F_SETFD, FD_CLOEXEC);
  return RunAllReduceRank(options, pipe).ok() ? EXIT_SUCCESS : EXIT_FAILURE;
}

int Main(const std::vector<std::string>& args) {
  absl::StatusOr<AllReduceBenchOptions> options = ParseAllReduceBenchOptions(args);
  if (options.ok() && options->help) {
    std::cout << kAllReduceBenchUsage;
    return EXIT_SUCCESS;
  }
  absl::Status status = options.status();
  if (status.ok()) status = ParseAllReduceAlgorithm(options->algorithm).status();
  if (!status.ok()) {
    std::cerr << "allreduce_bench: " << status.message() << "\n";
    return kBadCommandLine;
  }
  if (options->rank >= 0) return RunRank(*options);
  const bool needs_hosts = options->network == Network::kNetlab && options->netlab_prefix.empty();
  status = needs_hosts ? RunAgainOnHosts(*options, args) : Launch(*options, args);
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "allreduce_bench: " << status.message() << "\n";
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(std::vector<std::string>(argv + 1, argv + argc));
}
