#include "orchestrator/preflight/check_host.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exit_codes.h"
#include "orchestrator/preflight/host_facts.h"
#include "orchestrator/preflight/link_probe.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr size_t kMostLineBytes = 64 << 10;
constexpr absl::Duration kLinkPatience = absl::Seconds(3);

std::string Line(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// By read, not by stdio, whose buffer would hide from poll what has come. nullopt: the end.
std::optional<std::string> ReadLine() {
  std::string line;
  char byte = 0;
  while (line.size() < kMostLineBytes) {
    const ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    if (byte == '\n') return line;
    line.push_back(byte);
  }
  return std::nullopt;
}

void Answer(const json& object) {
  std::fputs(absl::StrCat(kCheckAnswer, Line(object)).c_str(), stdout);
  std::fflush(stdout);
}

json Error(const absl::Status& status) { return {{"error", std::string(status.message())}}; }

SurveyRequest ReadSurvey(const json& object) {
  SurveyRequest request;
  request.directory = TextField(object, "directory");
  request.folder = TextField(object, "folder");
  request.interface = TextField(object, "interface");
  return request;
}

json ConnectTo(const json& object) {
  const auto numbers = MeasureLink(
      TextField(object, "address"), static_cast<int>(IntegerField(object, "port", 0)),
      TextField(object, "token"), absl::Seconds(std::min(1.0, NumberField(object, "each_way", 0))),
      absl::Now() + kLinkPatience);
  if (!numbers.ok()) return Error(numbers.status());
  return {{"latency", absl::ToDoubleSeconds(numbers->latency)},
          {"to_listener", numbers->to_listener},
          {"from_listener", numbers->from_listener}};
}

void ListenOnce(const json& object) {
  const std::string token = TextField(object, "token");
  if (token.size() != kTokenBytes) return Answer({{"error", "no token"}});
  auto listener = LinkListener::Listen(TextField(object, "address"));
  if (!listener.ok()) return Answer(Error(listener.status()));
  Answer({{"port", listener->port()}});
  listener->Serve(token, STDIN_FILENO, absl::Now() + 2 * kLinkPatience);
}

}  // namespace

std::string SurveyLine(const SurveyRequest& request) {
  return Line({{"ask", "survey"},
               {"directory", request.directory},
               {"folder", request.folder},
               {"interface", request.interface}});
}

std::string TimeLine() { return Line({{"ask", "time"}}); }

std::string ListenLine(const std::string& address, const std::string& token) {
  return Line({{"ask", "listen"}, {"address", address}, {"token", token}});
}

std::string ConnectLine(const std::string& address, int port, const std::string& token,
                        absl::Duration each_way) {
  return Line({{"ask", "connect"},
               {"address", address},
               {"port", port},
               {"token", token},
               {"each_way", absl::ToDoubleSeconds(each_way)}});
}

int RunCheckHost() {
  alarm(kCheckHostSeconds);  // nothing stays: its signal ends the process
  while (const std::optional<std::string> line = ReadLine()) {
    const json object = json::parse(*line, nullptr, /*allow_exceptions=*/false);
    const std::string ask = object.is_object() ? TextField(object, "ask") : "";
    if (ask == "survey") {
      Answer(ToJson(SurveyHost(ReadSurvey(object))));
    } else if (ask == "time") {
      Answer({{"time", absl::GetCurrentTimeNanos()}});
    } else if (ask == "listen") {
      ListenOnce(object);
    } else if (ask == "connect") {
      Answer(ConnectTo(object));
    } else {
      std::fprintf(stderr, "%s: it is started by `orchestrator check`, not by hand\n",
                   kCheckHostCommand);
      return kExitUsage;
    }
  }
  return kExitOk;
}

}  // namespace sluice
