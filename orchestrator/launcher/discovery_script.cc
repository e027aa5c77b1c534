#include "orchestrator/launcher/discovery_script.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "orchestrator/launcher/command_batch.h"

namespace sluice {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(10);

// A file that is there is named whole: the shell would look for "discover.sh" in PATH.
std::string LineFor(const std::string& command) {
  char* const absolute = realpath(command.c_str(), nullptr);
  if (absolute == nullptr) return command;
  const std::string line = absl::StrCat("'", absl::StrReplaceAll(absolute, {{"'", "'\\''"}}), "'");
  std::free(absolute);
  return line;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

}  // namespace

DiscoveryScript::DiscoveryScript(const std::string& command, int slots_per_host,
                                 absl::Duration timeout)
    : command_(command),
      line_(LineFor(command)),
      slots_per_host_(slots_per_host),
      timeout_(timeout) {}

DiscoveryScript::~DiscoveryScript() {
  if (!running_.has_value()) return;
  kill(-running_->pid, SIGKILL);
  waitpid(running_->pid, nullptr, 0);
  ClosePipe(running_->stdout_fd);
  ClosePipe(running_->stderr_fd);
}

std::optional<DiscoveryScript::Answer> DiscoveryScript::Poll() {
  const absl::Time now = absl::Now();
  if (!running_.has_value()) {
    if (now < due_) return std::nullopt;
    due_ = now + kPeriod;
    began_ = now;
    timed_out_ = false;
    out_.clear();
    err_.clear();
    ChildSpec spec;
    spec.name = "the discovery script";
    spec.argv = {"/bin/sh", "-c", line_};
    auto child = StartChild(spec);
    if (!child.ok()) return child.status();
    running_ = *std::move(child);
    return std::nullopt;
  }
  // Ended first, then read: what it wrote before its end is all there.
  int status = 0;
  const bool ended = waitpid(running_->pid, &status, WNOHANG) == running_->pid;
  ReadPipe(running_->stdout_fd, out_);
  ReadPipe(running_->stderr_fd, err_);
  if (!ended) {
    if (now - began_ > timeout_ && !std::exchange(timed_out_, true)) {
      kill(-running_->pid, SIGKILL);
    }
    return std::nullopt;
  }
  kill(-running_->pid, SIGKILL);  // what it left in its group
  ClosePipe(running_->stdout_fd);
  ClosePipe(running_->stderr_fd);
  running_.reset();
  return Conclude(status);
}

DiscoveryScript::Answer DiscoveryScript::Conclude(int status) {
  const std::vector<std::string> errors = Lines(err_);
  for (const std::string& line : errors) SLUICE_LOG(Info, command_, ": ", line);
  const std::string last = errors.empty() ? "" : absl::StrCat(": \"", errors.back(), "\"");
  const auto fail = [&](absl::string_view what) {
    return absl::UnavailableError(
        absl::StrCat("SL1090 discovery script ", command_, " ", what, last));
  };
  if (timed_out_) {
    return fail(absl::StrCat("took longer than ", absl::FormatDuration(timeout_), ": killed"));
  }
  if (status != 0) {
    const int code = ExitCodeOf(status);
    return fail(absl::StrCat(DescribeWaitStatus(status), code == 126
                                                             ? " (is it executable? chmod +x)"
                                                         : code == 127 ? " (is it there?)"
                                                                       : ""));
  }
  if (out_.size() >= kMostOutputBytes) {
    return fail(absl::StrCat("prints ", kMostOutputBytes, " bytes or more"));
  }
  return ParseDiscoveredHosts(out_, slots_per_host_, command_);
}

DiscoveryScript::Answer DiscoveryScript::Ask() {
  due_ = absl::InfinitePast();
  while (true) {
    if (std::optional<Answer> answer = Poll()) return *std::move(answer);
    absl::SleepFor(kLook);
  }
}

}  // namespace sluice
