#include "tools/bench/allreduce_options.h"

#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

using Options = AllReduceBenchOptions;
using Setter = std::function<absl::Status(const std::string&, Options&)>;

absl::Status Bad(absl::string_view value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("\"", value, "\" is not ", expected));
}

Setter Number(int Options::*field, int least, int most) {
  return [=](const std::string& value, Options& options) {
    int number = 0;
    if (!absl::SimpleAtoi(value, &number) || number < least || number > most) {
      return Bad(value, absl::StrCat("a number in [", least, ", ", most, "]"));
    }
    options.*field = number;
    return absl::OkStatus();
  };
}

Setter Bytes(int64_t Options::*field, int64_t least) {
  return [=](const std::string& value, Options& options) -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(value));
    if (bytes < least) return Bad(value, absl::StrCat("at least ", least));
    options.*field = bytes;
    return absl::OkStatus();
  };
}

Setter Flag(bool Options::*field) {
  return [=](const std::string& value, Options& options) {
    if (value != "0" && value != "1") return Bad(value, "0 or 1");
    options.*field = value == "1";
    return absl::OkStatus();
  };
}

Setter Text(std::string Options::*field) {
  return [=](const std::string& value, Options& options) {
    if (value.empty()) return Bad(value, "a text");
    options.*field = value;
    return absl::OkStatus();
  };
}

absl::Status SetTransport(const std::string& value, Options& options) {
  options.rate.clear();
  if (value == "shm") {
    options.network = Options::Network::kShm;
  } else if (value == "tcp") {
    options.network = Options::Network::kTcp;
  } else if (absl::StartsWith(value, "netlab:") && value.size() > 7) {
    options.network = Options::Network::kNetlab;
    options.rate = value.substr(7);
  } else {
    return Bad(value, "shm, tcp or netlab:RATE, RATE as in 1gbit, 100mbit or none");
  }
  return absl::OkStatus();
}

absl::Status SetTimeout(const std::string& value, Options& options) {
  int seconds = 0;
  if (!absl::SimpleAtoi(value, &seconds) || seconds < 1) return Bad(value, "a number of seconds");
  options.timeout = absl::Seconds(seconds);
  return absl::OkStatus();
}

absl::Status SetLink(const std::string& value, Options& options) {
  if (!absl::SimpleAtod(value, &options.link_bytes_per_second)) return Bad(value, "a number");
  return absl::OkStatus();
}

const std::map<std::string, Setter>& Setters() {
  static const auto* const setters = new std::map<std::string, Setter>{
      {"ranks", Number(&Options::ranks, 1, 128)},
      {"min-bytes", Bytes(&Options::min_bytes, 4)},
      {"max-bytes", Bytes(&Options::max_bytes, 4)},
      {"factor", Bytes(&Options::factor, 2)},
      {"step-bytes", Bytes(&Options::step_bytes, 4)},
      {"iterations", Number(&Options::iterations, 1, 1000000)},
      {"warmup", Number(&Options::warmup, 0, 1000000)},
      {"check", Flag(&Options::check)},
      {"out-of-place", Flag(&Options::out_of_place)},
      {"algorithm", Text(&Options::algorithm)},
      {"chunk-bytes", Bytes(&Options::chunk_bytes, 0)},
      {"ranks-per-host", Number(&Options::ranks_per_host, 1, 128)},
      {"transport", SetTransport},
      {"netlab-prefix", Text(&Options::netlab_prefix)},
      {"json", Text(&Options::json)},
      {"timeout", SetTimeout},
      {"rank", Number(&Options::rank, 0, 127)},
      {"link-bytes-per-second", SetLink},
  };
  return *setters;
}

// The long name of a word that begins with a dash.
std::string LongName(const std::string& word) {
  static const auto* const letters = new std::map<std::string, std::string>{
      {"-b", "min-bytes"},  {"-e", "max-bytes"}, {"-f", "factor"}, {"-i", "step-bytes"},
      {"-n", "iterations"}, {"-w", "warmup"},    {"-c", "check"}};
  const auto letter = letters->find(word);
  return letter != letters->end() ? letter->second
                                  : word.substr(absl::StartsWith(word, "--") ? 2 : 0);
}

absl::Status Consistent(const Options& options) {
  if (options.max_bytes < options.min_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--max-bytes ", options.max_bytes, " is less than --min-bytes ", options.min_bytes));
  }
  if (options.rank >= options.ranks) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank ", options.rank, " is not one of --ranks ", options.ranks));
  }
  if (!options.netlab_prefix.empty() && options.network != Options::Network::kNetlab) {
    return absl::InvalidArgumentError("--netlab-prefix goes with --transport netlab:RATE only");
  }
  return absl::OkStatus();
}

}  // namespace

const char kAllReduceBenchUsage[] =
    R"(allreduce_bench: the time of Sluice's all-reduce of floats, without compression

  allreduce_bench [OPTION VALUE]...

One process per rank, started by itself. Columns as of nccl-tests: for each size the median over iterations of the
slowest rank's time, algbw = bytes / time, busbw = algbw x 2 (ranks - 1) / ranks, wrong values; and behind them the
least and the greatest in-place time. Ranks meet in a barrier before every iteration. The vector is zeros while time
is taken; the result is checked before and after, on other values.

      --ranks N           processes (2)
  -b, --min-bytes B       least size (1K); K, M, G are powers of 1024
  -e, --max-bytes B       greatest size (16M)
  -f, --factor F          from size to size (4)
  -i, --step-bytes B      step from size to size, instead of a factor
  -n, --iterations N      timed ones (20)
  -w, --warmup N          ones before them (5)
  -c, --check 0|1         whether to check results (1); a wrong value is exit status 1
      --out-of-place 0|1  whether to measure that too: the time includes copying the input (0)
      --algorithm NAME    auto (the default), direct, ring, halving-doubling or hierarchical
      --chunk-bytes B     the longest message; 0, the default: chosen by the size
      --ranks-per-host N  what the algorithm is told (netlab: 1, else: all)
      --transport T       shm (the default): shared memory
                          tcp: TCP over loopback
                          netlab:RATE: TCP, each rank on a network namespace of its own whose link has RATE
                          (1gbit, 100mbit, none); needs root and iproute2
      --netlab-prefix P   with netlab: use the hosts that `netlab.sh up P ...` has made
      --timeout SECONDS   no single all-reduce may take longer (60)
      --json FILE         write the results and what they were measured on

UCX_TLS and UCX_NET_DEVICES win over what --transport sets. Examples:

  allreduce_bench --ranks 4 -b 1K -e 64M -f 4
  allreduce_bench --ranks 2 --transport tcp --algorithm ring --json ring.json
  allreduce_bench --ranks 4 --transport netlab:1gbit -e 4M -n 5
)";

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  int shift = 0;
  absl::string_view digits = text;
  if (!digits.empty()) {
    switch (absl::ascii_toupper(static_cast<unsigned char>(digits.back()))) {
      case 'K':
        shift = 10;
        break;
      case 'M':
        shift = 20;
        break;
      case 'G':
        shift = 30;
        break;
    }
  }
  if (shift > 0) digits.remove_suffix(1);
  int64_t number = 0;
  if (!absl::SimpleAtoi(digits, &number) || number < 0 ||
      number > (std::numeric_limits<int64_t>::max() >> (shift + 1))) {
    return Bad(text, "a number of bytes such as 4096, 4K or 16M");
  }
  return number << shift;
}

std::vector<int64_t> AllReduceBenchOptions::Sizes() const {
  std::vector<int64_t> sizes;
  const bool by_step = step_bytes > 0;
  const int64_t last = by_step ? max_bytes - step_bytes : max_bytes / factor;  // that has a next
  int64_t bytes = min_bytes;
  while (true) {
    const int64_t whole = bytes - bytes % 4;
    if (sizes.empty() || sizes.back() != whole) sizes.push_back(whole);
    if (bytes > last) break;
    bytes = by_step ? bytes + step_bytes : bytes * factor;
  }
  return sizes;
}

std::string AllReduceBenchOptions::Transport() const {
  switch (network) {
    case Network::kShm:
      return "shm";
    case Network::kTcp:
      return "tcp";
    case Network::kNetlab:
      break;
  }
  return absl::StrCat("netlab:", rate);
}

absl::StatusOr<AllReduceBenchOptions> ParseAllReduceBenchOptions(
    const std::vector<std::string>& args) {
  Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string word = args[i], value;
    if (word == "-h" || word == "--help") {
      options.help = true;
      return options;
    }
    const size_t equals = word.find('=');
    const bool joined = absl::StartsWith(word, "--") && equals != std::string::npos;
    if (joined) {
      value = word.substr(equals + 1);
      word.resize(equals);
    }
    const auto setter = Setters().find(LongName(word));
    if (setter == Setters().end() || !absl::StartsWith(word, "-")) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown option \"", args[i], "\"; --help lists what there is"));
    }
    if (!joined) {
      if (i + 1 == args.size()) {
        return absl::InvalidArgumentError(absl::StrCat(word, " needs a value"));
      }
      value = args[++i];
    }
    SLUICE_RETURN_IF_ERROR_AT(setter->second(value, options), word);
  }
  SLUICE_RETURN_IF_ERROR(Consistent(options));
  return options;
}

}  // namespace sluice
