#include "orchestrator/launcher/ssh.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "orchestrator/launcher/network.h"
#include "orchestrator/launcher/remote_start.h"

namespace sluice {
namespace {

constexpr int kSshFailed = 255;  // ssh's own errors; everything else is the command's code
constexpr int kConnectSeconds = 10;
constexpr char kAnswer[] = "sluice-probe ";

enum class Verdict { kGood, kUnreachable, kLogin, kHostKey, kProgram };

// What ssh says, without the banners and warnings around it: its last lines that are not empty.
std::string LastWords(const CommandResult& result) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(result.err, absl::ByAnyChar("\r\n"))) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "Warning: Permanently added")) continue;
    lines.emplace_back(line.substr(0, 300));
  }
  if (lines.size() > 2) lines.erase(lines.begin(), lines.end() - 2);
  if (result.timed_out) {
    lines.push_back(absl::StrCat(
        "no answer after ", absl::FormatDuration(absl::Trunc(result.elapsed, absl::Seconds(1)))));
  }
  return lines.empty() ? absl::StrCat("exit code ", result.exit_code) : absl::StrJoin(lines, " / ");
}

Verdict Judge(const CommandResult& result) {
  if (result.timed_out) return Verdict::kUnreachable;
  if (result.exit_code == 0) return Verdict::kGood;
  if (result.exit_code != kSshFailed) return Verdict::kProgram;
  if (absl::StrContains(result.err, "Host key verification failed")) return Verdict::kHostKey;
  if (absl::StrContains(result.err, "Permission denied")) return Verdict::kLogin;
  return Verdict::kUnreachable;
}

std::string Address(const std::string& host, int port, const CommandResult& result) {
  // Not to be asked again where ssh failed: that may take as long once more.
  const std::vector<std::string> addresses = absl::StrContains(result.err, "Could not resolve")
                                                 ? std::vector<std::string>()
                                                 : Resolve(host);
  if (addresses.empty()) return "no address in the name service";
  return absl::StrCat(addresses.front(), " port ", port == 0 ? 22 : port);
}

}  // namespace

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (absl::string_view folder : absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    std::string candidate = absl::StrCat(folder.empty() ? "." : folder, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::NotFoundError(absl::StrCat("there is no ", name, " in PATH: install it"));
}

std::string ShellQuoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::vector<std::string> SshArgv(const SshOptions& options, const std::string& host,
                                 const std::vector<std::string>& command) {
  std::vector<std::string> argv = {
      options.program,
      "-T",
      "-o",
      "BatchMode=yes",
      "-o",
      absl::StrCat("StrictHostKeyChecking=", options.accept_new ? "accept-new" : "yes"),
      "-o",
      absl::StrCat("ConnectTimeout=", kConnectSeconds),
      "-o",
      "ServerAliveInterval=5",
      "-o",
      "ServerAliveCountMax=3"};
  if (options.port != 0) {
    argv.push_back("-p");
    argv.push_back(absl::StrCat(options.port));
  }
  if (!options.identity_file.empty()) {
    argv.push_back("-i");
    argv.push_back(options.identity_file);
  }
  argv.push_back("--");
  argv.push_back(host);
  // ssh joins words with spaces and has the other side's shell take them apart again.
  argv.push_back(absl::StrJoin(command, " ", [](std::string* out, const std::string& word) {
    out->append(ShellQuoted(word));
  }));
  return argv;
}

std::string ProbeAnswer() {
  // "client-address client-port server-address server-port"
  const char* connection = std::getenv("SSH_CONNECTION");
  const std::string text = connection != nullptr ? connection : "";
  const std::string client = text.substr(0, text.find(' '));
  return absl::StrCat(kAnswer, kVersion, " ", client.empty() ? "-" : client);
}

absl::StatusOr<RemoteHost> ParseProbeAnswer(absl::string_view line) {
  const std::vector<std::string> words =
      absl::StrSplit(absl::StripAsciiWhitespace(line), ' ', absl::SkipEmpty());
  if (words.size() != 3 || absl::StrCat(words[0], " ") != kAnswer) {
    return absl::DataLossError(absl::StrCat("unexpected answer: ", line.substr(0, 200)));
  }
  return RemoteHost{words[1], words[2] == "-" ? "" : words[2]};
}

std::string TryLine(const SshOptions& options, const std::string& host) {
  std::string line = "ssh";
  if (options.port != 0) absl::StrAppend(&line, " -p ", options.port);
  if (!options.identity_file.empty()) absl::StrAppend(&line, " -i ", options.identity_file);
  return absl::StrCat(line, " ", host, " true");
}

absl::Status JudgeSsh(const SshOptions& options, const std::string& host,
                      const CommandResult& result) {
  switch (Judge(result)) {
    case Verdict::kGood:
      break;
    case Verdict::kProgram:
      return absl::FailedPreconditionError(absl::StrCat(host, ": ", LastWords(result)));
    case Verdict::kLogin:
      return absl::UnauthenticatedError(
          absl::StrCat("SL1002 ", host,
                       " does not let us in with a key, and the launcher cannot type a password: ",
                       LastWords(result), ". Install a key there, or name it with -i FILE"));
    case Verdict::kHostKey:
      return absl::UnauthenticatedError(
          absl::StrCat(host, ": its host key is not known or has changed: ", LastWords(result),
                       ". Log in once by hand, or trust new hosts with --ssh-accept-new"));
    case Verdict::kUnreachable:
      return absl::UnavailableError(
          absl::StrCat(host, " (", Address(host, options.port, result), "): ", LastWords(result)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RemoteHost>> JudgeProbes(const SshOptions& options,
                                                    const std::vector<std::string>& hosts,
                                                    const std::string& program,
                                                    absl::Span<const CommandResult> results) {
  std::vector<RemoteHost> answers(hosts.size());
  std::vector<std::string> unreachable, programs;
  bool only_keys = true;
  for (size_t i = 0; i < hosts.size(); ++i) {
    const CommandResult& result = results[i];
    const std::string& host = hosts[i];
    const absl::Status trouble = JudgeSsh(options, host, result);
    if (trouble.ok()) {
      // A login shell may print before it.
      const size_t at = result.out.rfind(kAnswer);
      auto answer = ParseProbeAnswer(at == std::string::npos ? result.out : result.out.substr(at));
      if (!answer.ok()) {
        programs.push_back(absl::StrCat("  ", host, ": ", answer.status().message()));
      } else if (answer->version != kVersion) {
        programs.push_back(absl::StrCat("  ", host, ": sluice ", answer->version));
      } else {
        answers[i] = *std::move(answer);
      }
      continue;
    }
    if (absl::IsFailedPrecondition(trouble)) {
      programs.push_back(absl::StrCat("  ", trouble.message()));
      continue;
    }
    if (absl::IsUnavailable(trouble)) only_keys = false;
    unreachable.push_back(absl::StrCat("  ", trouble.message()));
    if (unreachable.size() == 1) {
      unreachable.back() += absl::StrCat("\n    Try: ", TryLine(options, host));
    }
  }
  if (!unreachable.empty()) {
    const std::string text = absl::StrCat("SL1001 cannot reach ", unreachable.size(), " of ",
                                          hosts.size(), hosts.size() == 1 ? " host" : " hosts",
                                          " by ssh\n", absl::StrJoin(unreachable, "\n"));
    return only_keys ? absl::UnauthenticatedError(text) : absl::UnavailableError(text);
  }
  if (!programs.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "SL1030 ", programs.size(), " of ", hosts.size(), hosts.size() == 1 ? " host" : " hosts",
        " cannot run ", program, " as it is here (sluice ", kVersion,
        "): the same program must be in the same place on every host\n",
        absl::StrJoin(programs, "\n")));
  }
  return answers;
}

absl::StatusOr<std::vector<RemoteHost>> ProbeHosts(const SshOptions& options,
                                                   const std::vector<std::string>& hosts,
                                                   const std::string& program,
                                                   absl::Duration timeout) {
  std::vector<ChildSpec> specs;
  for (const std::string& host : hosts) {
    ChildSpec spec;
    spec.name = absl::StrCat("ssh to ", host);
    spec.argv = SshArgv(options, host, {program, kRemoteExecCommand, "--probe"});
    specs.push_back(std::move(spec));
  }
  return JudgeProbes(options, hosts, program, RunAll(specs, timeout));
}

}  // namespace sluice
