#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "orchestrator/commands/commands.h"
#include "orchestrator/commands/flags.h"
#include "orchestrator/commands/launch.h"
#include "orchestrator/commands/process_setup.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/launcher/host_list.h"
#include "orchestrator/launcher/network.h"
#include "orchestrator/launcher/ssh.h"
#include "orchestrator/preflight/build_report.h"
#include "orchestrator/preflight/check_host.h"
#include "orchestrator/preflight/check_table.h"
#include "orchestrator/preflight/host_facts.h"
#include "orchestrator/preflight/host_sessions.h"
#include "orchestrator/preflight/host_survey.h"
#include "orchestrator/preflight/host_verdicts.h"
#include "orchestrator/preflight/link_verdicts.h"
#include "orchestrator/preflight/pair_rounds.h"

namespace sluice {
namespace {

// All of it takes at most 30 s, of which closing the sessions may take one.
constexpr absl::Duration kWhole = absl::Seconds(28);
constexpr absl::Duration kSurveyPatience = absl::Seconds(14);  // ssh gives up after 10
constexpr absl::Duration kTimePatience = absl::Seconds(2);
constexpr absl::Duration kLinkPatience = absl::Seconds(4);
constexpr absl::Duration kEachWay = absl::Milliseconds(300);
constexpr int kTimeQuestions = 3;

template <class T>
T Either(const absl::Flag<T>& one, const absl::Flag<T>& other) {
  return absl::GetFlag(one) != T() ? absl::GetFlag(one) : absl::GetFlag(other);
}

// What the command line asks for.
struct Wish {
  std::vector<HostSlots> hosts;
  std::vector<bool> is_local;  // by host
  SshOptions ssh;
  SurveyRequest survey;
  std::string self;
};

// \error kInvalidArgument  a usage error
absl::StatusOr<std::vector<HostSlots>> HostsOf(const CommandLine& line) {
  const int np = Either(FLAGS_np, FLAGS_num_proc);
  const int port = Either(FLAGS_p, FLAGS_ssh_port);
  if (np < 0) return absl::InvalidArgumentError(absl::StrCat("-np ", np, ": must not be negative"));
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port ", port, ": expected 1 to 65535"));
  }
  if (line.positional.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("check takes at most one job file, ", line.positional.size(), " given"));
  }
  const std::string list = Either(FLAGS_H, FLAGS_hosts), path = absl::GetFlag(FLAGS_hostfile);
  if (!list.empty() && !path.empty()) {
    return absl::InvalidArgumentError("give either -H or --hostfile, not both");
  }
  if (!list.empty()) return ParseHostList(list);
  if (path.empty()) return std::vector<HostSlots>{{"localhost", std::max(1, np)}};
  auto file = LoadHostFile(path);
  if (!file.ok()) return absl::FailedPreconditionError(file.status().message());
  for (const std::string& note : file->notes) SLUICE_LOG(Info, note);
  return std::move(file->hosts);
}

absl::StatusOr<Wish> ReadWish(const CommandLine& line) {
  SLUICE_RETURN_IF_ERROR(EnterUserDirectory());
  Wish wish;
  SLUICE_ASSIGN_OR_RETURN(wish.hosts, HostsOf(line));
  bool all_local = true;
  for (const HostSlots& host : wish.hosts) {
    wish.is_local.push_back(IsThisHost(host.host));
    all_local = all_local && wish.is_local.back();
  }
  wish.ssh.port = Either(FLAGS_p, FLAGS_ssh_port);
  wish.ssh.identity_file = Either(FLAGS_i, FLAGS_ssh_identity_file);
  wish.ssh.accept_new = absl::GetFlag(FLAGS_ssh_accept_new);
  if (!all_local) {
    SLUICE_ASSIGN_OR_RETURN(wish.ssh.program, FindProgram("ssh"));
  }
  SLUICE_ASSIGN_OR_RETURN(wish.self, OwnPath());
  const auto job = line.positional.empty() ? ParseJob("", JobFormat::kYaml, "job", line.sets)
                                           : LoadJob(line.positional.front(), line.sets);
  if (!job.ok() && !line.positional.empty()) {
    return absl::FailedPreconditionError(job.status().message());
  }
  SLUICE_RETURN_IF_ERROR(job.status());
  wish.survey.folder = job->checkpoint().directory();
  if (wish.survey.folder.empty()) wish.survey.folder = absl::GetFlag(FLAGS_run_directory);
  if (wish.survey.folder.empty()) wish.survey.folder = job->report().directory();
  const std::string interface = Either(FLAGS_network_interface, FLAGS_network_interfaces);
  wish.survey.interface = interface.substr(0, interface.find(','));
  char path[4096] = {};
  wish.survey.directory = getcwd(path, sizeof(path)) != nullptr ? path : "/";
  return wish;
}

std::vector<ChildSpec> Sessions(const Wish& wish) {
  std::vector<ChildSpec> specs;
  for (size_t i = 0; i < wish.hosts.size(); ++i) {
    const std::vector<std::string> command = {wish.self, kCheckHostCommand};
    ChildSpec spec;
    spec.name = absl::StrCat("check of ", wish.hosts[i].host);
    spec.argv = wish.is_local[i] ? command : SshArgv(wish.ssh, wish.hosts[i].host, command);
    if (wish.is_local[i]) spec.without = {"SSH_CONNECTION"};  // the user's own
    spec.keep_stdin_open = true;
    specs.push_back(std::move(spec));
  }
  return specs;
}

// One run of the preflight.
class Preflight {
 public:
  explicit Preflight(const Wish& wish)
      : wish_(wish), deadline_(absl::Now() + kWhole), sessions_(Sessions(wish)) {}

  void Run() {
    Survey();
    CompareClocks();
    MeasureLinks();
  }

  const std::vector<CheckRow>& rows() const { return rows_; }
  const std::vector<CheckedHost>& hosts() const { return hosts_; }

 private:
  absl::Time Soon(absl::Duration patience) const {
    return std::min(deadline_, absl::Now() + patience);
  }

  // All hosts that answer, in hosts_; the others have a row.
  void Survey() {
    const std::vector<std::string> lines(wish_.hosts.size(), SurveyLine(wish_.survey));
    const auto answers = sessions_.Ask(lines, Soon(kSurveyPatience));
    // After the processes have been started, which must be done before there are threads.
    SurveyRequest quick;
    quick.gpus = false;
    self_ = SurveyHost(quick);
    std::string seen_as;  // this host, by the others
    for (size_t i = 0; i < answers.size(); ++i) {
      if (!answers[i].came()) {
        rows_.push_back(Unreachable(i));
        continue;
      }
      CheckedHost host;
      host.name = wish_.hosts[i].host;
      host.slots = wish_.hosts[i].slots;
      host.facts = HostFactsFromJson(answers[i].object);
      if (seen_as.empty() && !wish_.is_local[i]) seen_as = host.facts.driver_address;
      sessions_of_.push_back(i);
      hosts_.push_back(std::move(host));
    }
    for (size_t i = 0; i < hosts_.size(); ++i) {
      if (!wish_.is_local[sessions_of_[i]] || seen_as.empty()) continue;
      if (wish_.survey.interface.empty()) hosts_[i].facts.address = seen_as;
    }
  }

  CheckRow Unreachable(size_t i) const {
    const std::string& name = wish_.hosts[i].host;
    const CommandResult& result = sessions_.result(i);
    CheckRow row{Outcome::kFailed, "reachable", {name}, "", "", kExitUnreachable};
    row.advice = absl::StrCat("Try: ", TryLine(wish_.ssh, name));
    if (result.timed_out) {
      // Without JudgeSsh, which would ask the name service: that may be what does not answer.
      row.what = absl::StrCat("SL1001 no answer after ",
                              absl::FormatDuration(absl::Trunc(result.elapsed, absl::Seconds(1))));
      return row;
    }
    const absl::Status trouble = JudgeSsh(wish_.ssh, name, result);
    switch (trouble.code()) {
      case absl::StatusCode::kUnavailable:
        row.what = absl::StrCat("SL1001 ", trouble.message());
        break;
      case absl::StatusCode::kUnauthenticated:
        row.what = std::string(trouble.message());
        row.exit_code = kExitPermission;
        break;
      default:
        row.check = "program";
        row.what = absl::StrCat("SL1030 cannot run ", wish_.self, ": ",
                                trouble.ok() ? "it gave no answer" : trouble.message());
        row.advice = "Install the same program in the same place on every host";
        row.exit_code = kExitConfig;
    }
    return row;
  }

  // The offset lies within half of a round trip: the fastest of several questions says most.
  void CompareClocks() {
    const std::vector<std::string> lines(wish_.hosts.size(), TimeLine());
    for (CheckedHost& host : hosts_) host.clock_uncertainty = absl::InfiniteDuration();
    for (int question = 0; question < kTimeQuestions; ++question) {
      const auto answers = sessions_.Ask(lines, Soon(kTimePatience));
      for (size_t i = 0; i < hosts_.size(); ++i) {
        const HostSessions::Answer& answer = answers[sessions_of_[i]];
        const absl::Duration half = (answer.arrived - answer.sent) / 2;
        if (!answer.came() || half >= hosts_[i].clock_uncertainty) continue;
        const int64_t theirs = IntegerField(answer.object, "time", 0);
        hosts_[i].clock_uncertainty = half;
        hosts_[i].clock_ahead = absl::FromUnixNanos(theirs) - (answer.sent + half);
      }
    }
    for (CheckRow& row : JudgeHosts(self_, hosts_)) rows_.push_back(std::move(row));
  }

  void MeasureLinks() {
    std::vector<std::string> names;
    for (const CheckedHost& host : hosts_) names.push_back(host.name);
    std::vector<LinkFacts> links;
    for (const std::vector<HostPair>& round : PairRounds(static_cast<int>(hosts_.size()))) {
      std::vector<HostPair> back;
      for (const auto& [a, b] : round) back.emplace_back(b, a);
      MeasureRound(round, kEachWay, links);
      MeasureRound(back, absl::ZeroDuration(), links);
    }
    for (CheckRow& row : JudgeLinks(names, links)) rows_.push_back(std::move(row));
  }

  // The second of each pair connects to the first, all at once.
  void MeasureRound(const std::vector<HostPair>& pairs, absl::Duration each_way,
                    std::vector<LinkFacts>& links) {
    const std::string token = absl::StrCat(RandomId(), RandomId(), RandomId(), RandomId());
    std::vector<std::string> listen(wish_.hosts.size()), connect(wish_.hosts.size());
    for (const auto& [a, b] : pairs) {
      listen[sessions_of_[a]] = ListenLine(hosts_[a].facts.address, token);
    }
    const auto ports = sessions_.Ask(listen, Soon(kLinkPatience));
    for (const auto& [a, b] : pairs) {
      const auto& answer = ports[sessions_of_[a]];
      if (!answer.came() || IntegerField(answer.object, "port", 0) == 0) continue;
      connect[sessions_of_[b]] =
          ConnectLine(hosts_[a].facts.address,
                      static_cast<int>(IntegerField(answer.object, "port", 0)), token, each_way);
    }
    const auto numbers = sessions_.Ask(connect, Soon(kLinkPatience));
    for (const auto& [a, b] : pairs) {
      const auto& port = ports[sessions_of_[a]];
      const auto& found = numbers[sessions_of_[b]];
      LinkFacts link;
      link.a = a;
      link.b = b;
      link.address = hosts_[a].facts.address;
      if (!port.came()) {
        link.error = absl::StrCat(hosts_[a].name, " gave no answer in time");
      } else if (connect[sessions_of_[b]].empty()) {
        link.error = TextField(port.object, "error");
      } else if (!found.came()) {
        link.error = absl::StrCat(hosts_[b].name, " gave no answer in time");
      } else {
        absl::StrAppend(&link.address, " port ", IntegerField(port.object, "port", 0));
        link.error = TextField(found.object, "error");
        link.latency = absl::Seconds(NumberField(found.object, "latency", 0));
        link.to_a = NumberField(found.object, "to_listener", 0);
        link.to_b = NumberField(found.object, "from_listener", 0);
      }
      links.push_back(std::move(link));
    }
  }

  const Wish& wish_;
  const absl::Time deadline_;
  HostSessions sessions_;
  HostFacts self_;
  std::vector<CheckedHost> hosts_;
  std::vector<size_t> sessions_of_;  // by index in hosts_
  std::vector<CheckRow> rows_;
};

std::string ReportJson(const std::vector<CheckRow>& rows, const std::vector<CheckedHost>& hosts) {
  nlohmann::json object = {{"event", "check"},
                           {"exit_code", ExitCodeOf(rows)},
                           {"passed", ExitCodeOf(rows) == kExitOk},
                           {"rows", nlohmann::json::array()},
                           {"hosts", nlohmann::json::array()}};
  for (const CheckRow& row : rows) {
    object["rows"].push_back({{"outcome", ToString(row.outcome)},
                              {"check", row.check},
                              {"where", row.where},
                              {"what", row.what},
                              {"advice", row.advice}});
  }
  for (const CheckedHost& host : hosts) {
    nlohmann::json one = ToJson(host.facts);
    one["name"] = host.name;
    one["slots"] = host.slots;
    one["clock_ahead_seconds"] = absl::ToDoubleSeconds(host.clock_ahead);
    object["hosts"].push_back(std::move(one));
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

int ReportBuild() {
  const auto lists = BuildReport(SurveyHost({}));
  std::fputs((absl::GetFlag(FLAGS_json) ? BuildJson(lists) : BuildText(lists)).c_str(), stdout);
  return kExitOk;
}

}  // namespace

int CheckCommand(const CommandLine& line) {
  SetLogIdentity("driver");
  if (absl::GetFlag(FLAGS_build)) return ReportBuild();
  const auto wish = ReadWish(line);
  if (!wish.ok()) {
    std::fprintf(stderr, "orchestrator check: %s\n", std::string(wish.status().message()).c_str());
    return absl::IsInvalidArgument(wish.status()) ? kExitUsage : kExitConfig;
  }
  std::vector<CheckRow> rows;
  std::vector<CheckedHost> hosts;
  {
    Preflight preflight(*wish);
    preflight.Run();
    rows = WorstFirst(preflight.rows());
    hosts = preflight.hosts();
  }
  const std::string text = TableText(rows, static_cast<int>(wish->hosts.size()));
  if (absl::GetFlag(FLAGS_json)) std::fputs(ReportJson(rows, hosts).c_str(), stdout);
  std::fputs(text.c_str(), absl::GetFlag(FLAGS_json) ? stderr : stdout);
  return ExitCodeOf(rows);
}

}  // namespace sluice
