#include "policies/compression/alpha_schedule.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

absl::StatusOr<double> ParseAlpha(absl::string_view text) {
  double alpha = 0;
  if (absl::SimpleAtod(text, &alpha) && alpha > 0 && alpha <= AlphaSchedule::kMost) return alpha;
  return absl::InvalidArgumentError(absl::StrCat("expected a number above 0, at most ",
                                                 AlphaSchedule::kMost, ", found \"", text, "\""));
}

absl::StatusOr<int64_t> ParseStep(absl::string_view text, int64_t least) {
  int64_t step = 0;
  if (absl::SimpleAtoi(text, &step) && step >= least) return step;
  return absl::InvalidArgumentError(
      absl::StrCat("expected a step of at least ", least, ", found \"", text, "\""));
}

}  // namespace

absl::StatusOr<AlphaSchedule> AlphaSchedule::Parse(absl::string_view text) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  AlphaSchedule schedule;
  const absl::string_view shape = words.empty() ? "" : words[0];
  if ((shape == "linear" || shape == "cosine") && (words.size() == 3 || words.size() == 4)) {
    schedule.shape_ = shape == "linear" ? Shape::kLinear : Shape::kCosine;
    SLUICE_ASSIGN_OR_RETURN(schedule.start_, ParseAlpha(words[1]));
    SLUICE_ASSIGN_OR_RETURN(schedule.end_, ParseAlpha(words[2]));
    if (words.size() == 4) {
      SLUICE_ASSIGN_OR_RETURN(schedule.steps_, ParseStep(words[3], 1));
    }
    return schedule;
  }
  if (shape != "steps" || words.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected \"linear START END [STEPS]\", \"cosine START END [STEPS]\" or \"steps 0:A "
        "500:B ...\", found \"",
        text, "\""));
  }
  schedule.from_.clear();
  for (size_t i = 1; i < words.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(words[i], absl::MaxSplits(':', 1));
    const int64_t least = i == 1 ? 0 : schedule.from_.back().first + 1;
    SLUICE_ASSIGN_OR_RETURN(const int64_t step, ParseStep(parts.first, least));
    SLUICE_ASSIGN_OR_RETURN(const double alpha, ParseAlpha(parts.second));
    schedule.from_.emplace_back(step, alpha);
  }
  if (schedule.from_.front().first != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("steps: expected the first at step 0, found \"", words[1], "\""));
  }
  return schedule;
}

double AlphaSchedule::At(int64_t step, int64_t total_steps) const {
  if (shape_ == Shape::kSteps) {
    const auto after =
        std::upper_bound(from_.begin() + 1, from_.end(), step,
                         [](int64_t value, const auto& entry) { return value < entry.first; });
    return std::prev(after)->second;
  }
  const int64_t length = steps_ > 0 ? steps_ : total_steps;
  if (length <= 0 || step <= 0) return start_;
  if (step >= length) return end_;
  const double way = static_cast<double>(step) / static_cast<double>(length);
  constexpr double kPi = 3.14159265358979323846;
  const double share = shape_ == Shape::kLinear ? way : (1 - std::cos(kPi * way)) / 2;
  return start_ + share * (end_ - start_);
}

double AlphaOf(const proto::Compression& config, const proto::WindowStatistics& window) {
  return window.alpha() > 0 ? window.alpha() : config.alpha();
}

}  // namespace sluice
