#include "base/log.h"

#include <memory>

#include "absl/strings/ascii.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace sluice {
namespace {

// "%*" in the pattern: the level's first letter, in the case that readers of glog expect.
class LevelLetter : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    static constexpr char kLetters[] = "TDIWEF?";
    out.push_back(kLetters[message.level]);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelLetter>();
  }
};

std::unique_ptr<spdlog::pattern_formatter> Formatter(const std::string& identity) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  std::string who;  // '%' starts a flag in spdlog's pattern
  for (char c : identity) who += c == '%' ? "%%" : std::string(1, c);
  formatter->add_flag<LevelLetter>('*').set_pattern(
      absl::StrCat("%Y-%m-%dT%H:%M:%S.%fZ %* [", who, "] %s:%#: %v"));
  return formatter;
}

spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("sluice", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::info);
    made->set_formatter(Formatter("sluice"));
    return made;
  }();
  return *logger;
}

}  // namespace

absl::Status SetLogLevel(absl::string_view name) {
  static constexpr const char* kNames[] = {"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL"};
  const std::string wanted = absl::AsciiStrToUpper(name);
  for (int i = 0; i < 6; ++i) {
    if (wanted == kNames[i]) {
      Logger().set_level(static_cast<spdlog::level::level_enum>(i));
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown log level \"", name, "\": expected TRACE, DEBUG, INFO, WARNING, ERROR or FATAL"));
}

void SetLogIdentity(std::string identity) { Logger().set_formatter(Formatter(identity)); }

void Log(LogLevel level, const char* file, int line, const std::string& text) {
  Logger().log(spdlog::source_loc{file, line, ""}, static_cast<spdlog::level::level_enum>(level),
               "{}", text);
}

}  // namespace sluice
