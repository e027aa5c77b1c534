#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {

enum class LogLevel { kTrace, kDebug, kInfo, kWarning, kError, kFatal };

/// TRACE, DEBUG, INFO, WARNING, ERROR or FATAL in any case.
/// \error kInvalidArgument for any other word
absl::Status SetLogLevel(absl::string_view name);

/// Who speaks, e.g. "rank 3 node02 gen 1", "coordinator", "driver". Put in brackets before every line.
void SetLogIdentity(std::string identity);

/// One line on standard error:
/// `2031-05-02T14:03:11.482913Z W [rank 3 node02 gen 1] reducer.cc:88: text`.
/// \threadsafety any thread
void Log(LogLevel level, const char* file, int line, const std::string& text);

}  // namespace sluice

/// SLUICE_LOG(Info, "joined ", host): level is Trace, Debug, Info, Warning, Error or Fatal.
#define SLUICE_LOG(level, ...) \
  ::sluice::Log(::sluice::LogLevel::k##level, __FILE__, __LINE__, ::absl::StrCat(__VA_ARGS__))
