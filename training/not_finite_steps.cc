#include "training/not_finite_steps.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"

namespace sluice {
namespace {

// "rank 2", "ranks 1, 2"
std::string RanksText(const std::vector<Rank>& ranks) {
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ",
                      absl::StrJoin(ranks, ", ", [](std::string* out, Rank rank) {
                        absl::StrAppend(out, rank.value);
                      }));
}

std::string Explain(Step step, const NotFinite& found, const BucketLayout& layout) {
  if (found.tensor == NotFinite::kLoss) {
    return absl::StrCat("SL3001 ", ToString(step), ": the loss of ", RanksText(found.ranks),
                        " is not finite");
  }
  const std::string& layer = layout.tensors()[static_cast<size_t>(found.tensor)].name;
  if (found.ranks.empty()) {
    return absl::StrCat("SL3001 ", ToString(step), ": the mean gradient is not finite, first in \"",
                        layer, "\", after compression: no rank's own gradient is");
  }
  return absl::StrCat("SL3001 ", ToString(step), ": the gradient of ", RanksText(found.ranks),
                      " is not finite, first in \"", layer, "\", before compression");
}

}  // namespace

absl::Status NotFiniteSteps::OnNotFinite(Step step, const ReductionStats& reduction,
                                         const absl::Status& loss, const BucketLayout& layout) {
  const NotFinite& found = *reduction.not_finite;
  // Whoever knows most speaks: the culprits, or all when there is none.
  const bool speaks = reduction.not_finite_here || found.ranks.empty() || !loss.ok();
  std::string text = Explain(step, found, layout);
  if (!loss.ok()) absl::StrAppend(&text, " (", loss.message(), ")");
  if (skip_ && ++in_a_row_ <= most_in_a_row_) {
    if (speaks) {
      SLUICE_LOG(Warning, text, ". Step skipped (", in_a_row_, " of ", most_in_a_row_,
                 " allowed in a row)");
    }
    return absl::OkStatus();
  }
  if (skip_) {
    absl::StrAppend(&text, ". That makes ", in_a_row_,
                    " steps in a row, more than training.max_skipped_steps");
  } else {
    absl::StrAppend(&text,
                    ". Lower optimizer.learning_rate, or pass over such steps with "
                    "training.on_nan: skip");
  }
  return speaks ? absl::OutOfRangeError(text) : absl::CancelledError(text);
}

}  // namespace sluice
