#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

/// Fewest single-character edits between two words; swapping two neighbours counts as one edit.
/// Source: the optimal string alignment variant of Damerau 1964.
int EditDistance(absl::string_view a, absl::string_view b);

/// The candidate that somebody who typed `word` most likely meant, or "" when none comes near: the
/// first of the smallest distance within 1 + length / 4 edits, else the only one that contains
/// `word`.
std::string NearestWord(absl::string_view word, absl::Span<const std::string> candidates);

/// `: did you mean "nearest"?`, or "" when nothing comes near. To be appended to an error.
std::string DidYouMean(absl::string_view word, absl::Span<const std::string> candidates);

/// `text` in quotes for a message: escaped and at most 60 characters of it.
std::string Quoted(absl::string_view text);

}  // namespace sluice
