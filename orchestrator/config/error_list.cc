#include "orchestrator/config/error_list.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {

void ErrorList::Add(absl::string_view where, absl::string_view what) {
  if (++count_ <= kMostShown) lines_.push_back(absl::StrCat(where, ": ", what));
}

absl::Status ErrorList::ToStatus() const {
  if (empty()) return absl::OkStatus();
  std::string text = absl::StrJoin(lines_, "\n");
  if (count_ > kMostShown)
    absl::StrAppend(&text, "\n... and ", count_ - kMostShown, " more errors");
  return absl::InvalidArgumentError(text);
}

}  // namespace sluice
