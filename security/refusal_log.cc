#include "security/refusal_log.h"

#include "absl/strings/str_cat.h"

namespace sluice {

std::optional<std::string> RefusalLog::Add(const std::string& text, absl::Time now) {
  if (lines_ >= kBurst && now < next_) {
    ++left_out_;
    return std::nullopt;
  }
  ++lines_;
  next_ = now + kPeriod;
  std::string line = text;
  if (left_out_ > 0) absl::StrAppend(&line, " (and ", left_out_, " more)");
  left_out_ = 0;
  return line;
}

}  // namespace sluice
