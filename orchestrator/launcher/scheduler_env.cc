#include "orchestrator/launcher/scheduler_env.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "orchestrator/config/nearest_word.h"

namespace sluice {
namespace {

// One launcher's names for the same four things; where it has several, the first that is set counts.
struct Names {
  const char* source;
  const char* rank;
  std::array<const char*, 2> size;
  std::array<const char*, 2> local_size;
};

constexpr Names kNames[] = {
    {"Sluice", "SLUICE_RANK", {"SLUICE_SIZE", nullptr}, {"SLUICE_LOCAL_SIZE", nullptr}},
    {"Horovod", "HOROVOD_RANK", {"HOROVOD_SIZE", nullptr}, {"HOROVOD_LOCAL_SIZE", nullptr}},
    {"torchrun", "RANK", {"WORLD_SIZE", nullptr}, {"LOCAL_WORLD_SIZE", nullptr}},
    {"Open MPI",
     "OMPI_COMM_WORLD_RANK",
     {"OMPI_COMM_WORLD_SIZE", nullptr},
     {"OMPI_COMM_WORLD_LOCAL_SIZE", nullptr}},
    {"PMI", "PMI_RANK", {"PMI_SIZE", nullptr}, {"MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"}},
    // The job's size is the step's only within a step: a batch script has SLURM_NTASKS and no step.
    {"Slurm", "SLURM_PROCID", {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}, {nullptr, nullptr}},
};

const std::string* Find(const Environment& environment, const char* name) {
  if (name == nullptr) return nullptr;
  const auto at = environment.find(name);
  return at == environment.end() ? nullptr : &at->second;
}

// Name and value of the first of `names` that is set.
std::optional<std::pair<std::string, std::string>> FindFirst(const Environment& environment,
                                                             std::array<const char*, 2> names) {
  for (const char* name : names) {
    if (const std::string* value = Find(environment, name)) return std::make_pair(name, *value);
  }
  return std::nullopt;
}

absl::StatusOr<int> ParseNumber(absl::string_view name, absl::string_view text, int least,
                                int most) {
  int number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, "=", Quoted(text), ": expected a whole number from ", least, " to ", most));
  }
  return number;
}

absl::StatusOr<GivenRank> ReadSet(const Environment& environment, const Names& names) {
  const auto size = FindFirst(environment, names.size);
  GivenRank given;
  given.source = names.source;
  SLUICE_ASSIGN_OR_RETURN(given.size, ParseNumber(size->first, size->second, 1, kMostSlots));
  SLUICE_ASSIGN_OR_RETURN(
      given.rank, ParseNumber(names.rank, *Find(environment, names.rank), 0, given.size - 1));
  if (const auto local = FindFirst(environment, names.local_size)) {
    SLUICE_ASSIGN_OR_RETURN(given.local_size,
                            ParseNumber(local->first, local->second, 1, given.size));
  }
  return given;
}

absl::Status HalfASet(const Environment& environment, const Names& names) {
  const bool has_rank = Find(environment, names.rank) != nullptr;
  const std::string size =
      has_rank ? names.size.front() : FindFirst(environment, names.size)->first;
  const std::string present = has_rank ? names.rank : size;
  const std::string missing = has_rank ? size : names.rank;
  return absl::InvalidArgumentError(
      absl::StrCat(present, " is set and ", missing, " is not: a process needs both or neither"));
}

// What a file name and a command line take.
std::string AsId(absl::string_view text) {
  std::string id;
  for (char c : text.substr(0, 64)) {
    id += absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-' ? c : '-';
  }
  return id;
}

std::string JobIdOf(const Environment& environment) {
  for (const char* name : {"SLUICE_JOB_ID", "TORCHELASTIC_RUN_ID"}) {
    const std::string* id = Find(environment, name);
    if (id != nullptr && !id->empty() && *id != "none") return AsId(*id);
  }
  if (const std::string* job = Find(environment, "SLURM_JOB_ID")) {
    const std::string* step = Find(environment, "SLURM_STEP_ID");
    const std::string* restarts = Find(environment, "SLURM_RESTART_COUNT");
    return AsId(absl::StrCat(
        "slurm-", *job, step != nullptr ? absl::StrCat(".", *step) : "",
        restarts != nullptr && *restarts != "0" ? absl::StrCat("-restart", *restarts) : ""));
  }
  for (const char* name : {"PMIX_NAMESPACE", "PMI_JOBID"}) {
    if (const std::string* id = Find(environment, name)) return AsId(absl::StrCat("mpi-", *id));
  }
  return "";
}

// FNV-1a: the same on every machine, unlike std::hash.
uint32_t Hash(absl::string_view text) {
  uint32_t hash = 2166136261u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

// Below the ports that Linux hands out by itself (from 32768 on).
uint16_t PortOf(const std::string& job_id) {
  return static_cast<uint16_t>(20000 + Hash(job_id) % 10000);
}

class NodeListParser {
 public:
  explicit NodeListParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<std::string>> Run() {
    while (true) {
      SLUICE_RETURN_IF_ERROR(TakeItem());
      if (next_ == text_.size()) return std::move(all_);
      ++next_;  // the comma
    }
  }

 private:
  absl::Status Fail(absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat("node list ", Quoted(text_), ": ", why,
                                                   " (character ", next_ + 1,
                                                   "). Expected names as in gpu[01-03,07],login5"));
  }

  // A name with its groups, up to a comma outside of brackets.
  absl::Status TakeItem() {
    std::vector<std::string> names = {""};
    while (next_ < text_.size() && text_[next_] != ',') {
      if (text_[next_] == '[') {
        ++next_;
        SLUICE_RETURN_IF_ERROR(TakeGroup(names));
      } else {
        const char c = text_[next_];
        if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') {
          return Fail(absl::StrCat("unexpected ", Quoted(text_.substr(next_, 1))));
        }
        if (names.front().empty() && (c == '-' || c == '.')) {
          return Fail("a name begins with a letter or a digit");
        }
        for (std::string& name : names) name += c;
        ++next_;
        if (names.front().size() > kMostNameBytes) return Fail("a name is too long");
      }
    }
    if (names.front().empty()) return Fail("a name is missing");
    if (all_.size() + names.size() > kMostHosts) return TooMany();
    all_.insert(all_.end(), names.begin(), names.end());
    return absl::OkStatus();
  }

  absl::Status TooMany() const { return Fail(absl::StrCat("more than ", kMostHosts, " hosts")); }

  // The inside of brackets, and the closing one: every name so far with every number.
  absl::Status TakeGroup(std::vector<std::string>& names) {
    std::vector<std::string> numbers;
    while (true) {
      SLUICE_ASSIGN_OR_RETURN(const std::string first, TakeDigits());
      std::string last = first;
      if (next_ < text_.size() && text_[next_] == '-') {
        ++next_;
        SLUICE_ASSIGN_OR_RETURN(last, TakeDigits());
      }
      uint64_t low = 0, high = 0;
      if (!absl::SimpleAtoi(first, &low) || !absl::SimpleAtoi(last, &high) || high < low) {
        return Fail(absl::StrCat("range ", first, "-", last, " does not go up"));
      }
      if (high - low >= kMostHosts || numbers.size() + (high - low) >= kMostHosts) return TooMany();
      for (uint64_t n = low; n <= high; ++n) {
        const std::string digits = absl::StrCat(n);
        const size_t width = std::max(first.size(), digits.size());  // leading zeros are kept
        numbers.push_back(std::string(width - digits.size(), '0') + digits);
      }
      if (next_ == text_.size()) return Fail("\"]\" is missing");
      if (text_[next_] == ']') break;
      if (text_[next_] != ',') return Fail("expected \",\", \"-\" or \"]\"");
      ++next_;
    }
    ++next_;
    if (names.size() * numbers.size() > kMostHosts) return TooMany();
    std::vector<std::string> product;
    for (const std::string& name : names) {
      for (const std::string& number : numbers) product.push_back(name + number);
    }
    names = std::move(product);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> TakeDigits() {
    const size_t begin = next_;
    while (next_ < text_.size() && absl::ascii_isdigit(text_[next_])) ++next_;
    if (next_ == begin) return Fail("a number is missing");
    if (next_ - begin > kMostDigits) return Fail("a number is too long");
    return std::string(text_.substr(begin, next_ - begin));
  }

  static constexpr size_t kMostDigits = 18;
  static constexpr size_t kMostNameBytes = 253;

  const absl::string_view text_;
  size_t next_ = 0;
  std::vector<std::string> all_;
};

}  // namespace

absl::StatusOr<GivenRank> ReadRank(const Environment& environment) {
  std::optional<GivenRank> found;
  for (const Names& names : kNames) {
    const bool has_rank = Find(environment, names.rank) != nullptr;
    const bool has_size = FindFirst(environment, names.size).has_value();
    if (has_rank != has_size && !found) return HalfASet(environment, names);
    if (!has_rank || !has_size) continue;
    SLUICE_ASSIGN_OR_RETURN(GivenRank given, ReadSet(environment, names));
    if (!found) {
      found = std::move(given);
    } else if (given.rank != found->rank || given.size != found->size) {
      found->warnings.push_back(absl::StrCat("the environment has two opinions: rank ", found->rank,
                                             " of ", found->size, " (", found->source,
                                             "), which counts, and rank ", given.rank, " of ",
                                             given.size, " (", given.source, ")"));
    }
  }
  if (found) {
    if (found->source == "Slurm" && !found->local_size) {
      const std::string* counts = Find(environment, "SLURM_STEP_TASKS_PER_NODE");
      const std::string* node = Find(environment, "SLURM_NODEID");
      if (counts != nullptr && node != nullptr) {
        SLUICE_ASSIGN_OR_RETURN(const std::vector<int> tasks, ParseSlurmTaskCounts(*counts));
        SLUICE_ASSIGN_OR_RETURN(const int index, ParseNumber("SLURM_NODEID", *node, 0,
                                                             static_cast<int>(tasks.size()) - 1));
        found->local_size = tasks[index];
      }
    }
    return *std::move(found);
  }
  if (Find(environment, "PMIX_RANK") != nullptr) {
    return absl::InvalidArgumentError(
        "PMIX_RANK is set, but PMIx does not put the number of processes into the environment: set "
        "SLUICE_RANK "
        "and SLUICE_SIZE");
  }
  return GivenRank();
}

absl::StatusOr<MeetingPoint> FindMeetingPoint(const Environment& environment,
                                              const GivenRank& rank) {
  MeetingPoint point;
  point.job_id = JobIdOf(environment);
  const std::string* host = Find(environment, "MASTER_ADDR");
  const std::string* port = Find(environment, "MASTER_PORT");
  const std::string* nodes = Find(environment, "SLURM_STEP_NODELIST");
  if (host != nullptr && !host->empty()) {
    point.host = *host;
  } else if (rank.size == 1) {
    point.host = "127.0.0.1";
  } else if (rank.source == "Slurm" && nodes != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(const auto names, ParseSlurmNodeList(*nodes));
    point.host = names.size() == 1 ? "127.0.0.1" : names.front();
  } else if (rank.local_size == rank.size) {
    point.host = "127.0.0.1";
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank.rank, " of ", rank.size, " (", rank.source,
                     ") does not know where rank 0 is. Set MASTER_ADDR to the name or address of "
                     "its host and MASTER_PORT to a "
                     "free port there, the same for all processes; with mpirun: -x "
                     "MASTER_ADDR=HOST -x MASTER_PORT=29500"));
  }
  if (port != nullptr && !port->empty()) {
    SLUICE_ASSIGN_OR_RETURN(const int number, ParseNumber("MASTER_PORT", *port, 1, 65535));
    point.port = static_cast<uint16_t>(number);
  } else if (rank.size > 1) {
    point.port = PortOf(point.job_id.empty() ? point.host : point.job_id);
  }
  if (point.job_id.empty() && rank.size > 1) {
    point.job_id = AsId(absl::StrCat(point.host, "-", point.port));
  }
  return point;
}

absl::StatusOr<std::optional<SlurmAllocation>> ReadSlurmAllocation(const Environment& environment) {
  const std::string* id = Find(environment, "SLURM_JOB_ID");
  const std::string* nodes = Find(environment, "SLURM_JOB_NODELIST");
  if (id == nullptr || nodes == nullptr) return std::optional<SlurmAllocation>();
  SlurmAllocation allocation;
  allocation.job_id = *id;
  auto names = ParseSlurmNodeList(*nodes);
  SLUICE_RETURN_IF_ERROR_AT(names.status(), "SLURM_JOB_NODELIST");
  std::vector<int> counts(names->size(), 1);
  if (const std::string* tasks = Find(environment, "SLURM_TASKS_PER_NODE")) {
    auto parsed = ParseSlurmTaskCounts(*tasks);
    SLUICE_RETURN_IF_ERROR_AT(parsed.status(), "SLURM_TASKS_PER_NODE");
    counts = *std::move(parsed);
    if (counts.size() != names->size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("SLURM_JOB_NODELIST names ", names->size(),
                       " nodes, SLURM_TASKS_PER_NODE counts tasks of ", counts.size()));
    }
  }
  for (size_t i = 0; i < names->size(); ++i) allocation.hosts.push_back({(*names)[i], counts[i]});
  return std::optional<SlurmAllocation>(std::move(allocation));
}

absl::StatusOr<std::vector<std::string>> ParseSlurmNodeList(absl::string_view text) {
  return NodeListParser(text).Run();
}

absl::StatusOr<std::vector<int>> ParseSlurmTaskCounts(absl::string_view text) {
  const auto fail = [&](absl::string_view item) {
    return absl::InvalidArgumentError(
        absl::StrCat("task counts ", Quoted(text), ": ", Quoted(item), " is not like 4 or 4(x2)"));
  };
  if (text.empty()) return fail(text);
  std::vector<int> counts;
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    const size_t open = item.find("(x");
    int tasks = 0, times = 1;
    const absl::string_view number = item.substr(0, open);
    if (!absl::SimpleAtoi(number, &tasks) || tasks < 1 || tasks > kMostSlots) return fail(item);
    if (open != item.npos) {
      absl::string_view repeat = item.substr(open + 2);
      if (repeat.empty() || repeat.back() != ')') return fail(item);
      repeat.remove_suffix(1);
      if (!absl::SimpleAtoi(repeat, &times) || times < 1) return fail(item);
    }
    if (times > kMostHosts || counts.size() + times > kMostHosts) return fail(item);
    counts.insert(counts.end(), times, tasks);
  }
  return counts;
}

}  // namespace sluice
