#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "models/data/dataset.h"
#include "models/data/token_stream.h"

namespace sluice {

struct TokenOptions {
  TokenType type = TokenType::kByte;
  int64_t vocabulary = 256;
  int64_t context = 128;
  double test_share = 0.05;  ///< of the tokens: the last ones
};

/// Text to predict the next token of. Sample i of a split is its i-th passage of context + 1 tokens; passages do not
/// overlap, and what is left at a split's end is not used. A batch has one input, n x context in int64, and
/// targets of the same shape: each token's successor.
/// \error as TokenStream::Open; kDataLoss: too few tokens for one passage in each split
absl::StatusOr<Datasets> LoadTokens(const std::string& path, const TokenOptions& options);

}  // namespace sluice
