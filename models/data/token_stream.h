#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "models/data/mapped_file.h"

namespace sluice {

/// How token ids lie in files: little-endian, one after another, without a header.
enum class TokenType { kByte, kUint16, kUint32 };

/// The tokens of one file or of all below a folder, in byte order of the path, as one sequence. The files are
/// mapped, not read.
/// \threadsafety immutable
class TokenStream {
 public:
  /// Opens and checks every token.
  /// \param vocabulary  ids are below it; 256 for bytes
  /// \error kNotFound and so on  `path` or a file below it cannot be opened, with its path
  /// \error kDataLoss  a file that is no whole number of ids; an id out of range, with file and place
  static absl::StatusOr<TokenStream> Open(const std::string& path, TokenType type,
                                          int64_t vocabulary);

  int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }

  /// Tokens begin .. begin + out.size() - 1.
  /// \pre they are in [0, size())
  void Read(int64_t begin, absl::Span<int64_t> out) const;

 private:
  explicit TokenStream(TokenType type) : type_(type) {}

  TokenType type_;
  std::vector<MappedFile> files_;
  std::vector<int64_t> ends_;  // of each file: tokens in it and before it
};

}  // namespace sluice
