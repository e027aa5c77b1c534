#include "orchestrator/flags/number_pair.h"

#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice {

bool AbslParseFlag(absl::string_view text, NumberPair* pair, std::string* error) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(", :"), absl::SkipEmpty());
  if (words.size() == 2 && absl::SimpleAtod(words[0], &pair->first) &&
      absl::SimpleAtod(words[1], &pair->second) && std::isfinite(pair->first) &&
      std::isfinite(pair->second)) {
    return true;
  }
  *error = "expected two numbers, as in 10 100";
  return false;
}

std::string AbslUnparseFlag(const NumberPair& pair) {
  return pair.first == 0 && pair.second == 0 ? "" : absl::StrCat(pair.first, ",", pair.second);
}

}  // namespace sluice
