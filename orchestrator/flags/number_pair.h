#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

/// A flag of two numbers: `--range 10 100`, or in one word `--range=10,100`, `--range 10:100`.
struct NumberPair {
  double first = 0;
  double second = 0;
};

bool AbslParseFlag(absl::string_view text, NumberPair* pair, std::string* error);
std::string AbslUnparseFlag(const NumberPair& pair);

}  // namespace sluice
