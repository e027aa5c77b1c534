#include "models/data/token_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "models/data/folder_listing.h"

namespace sluice {
namespace {

int BytesOf(TokenType type) {
  switch (type) {
    case TokenType::kByte:
      return 1;
    case TokenType::kUint16:
      return 2;
    case TokenType::kUint32:
      return 4;
  }
  return 0;
}

// Calls sink(id) for `count` ids from `at` on. The width is a constant in each loop.
template <int kBytes, class Sink>
void ForEachOf(const char* at, int64_t count, Sink sink) {
  for (int64_t i = 0; i < count; ++i, at += kBytes) {
    uint32_t id = 0;
    for (int b = 0; b < kBytes; ++b) id |= uint32_t{static_cast<uint8_t>(at[b])} << (8 * b);
    sink(id);
  }
}

template <class Sink>
void ForEach(TokenType type, const char* at, int64_t count, Sink sink) {
  switch (type) {
    case TokenType::kByte:
      return ForEachOf<1>(at, count, sink);
    case TokenType::kUint16:
      return ForEachOf<2>(at, count, sink);
    case TokenType::kUint32:
      return ForEachOf<4>(at, count, sink);
  }
}

absl::Status CheckIds(TokenType type, absl::string_view bytes, const std::string& path,
                      int64_t vocabulary) {
  const int64_t count = static_cast<int64_t>(bytes.size()) / BytesOf(type);
  uint32_t highest = 0;
  ForEach(type, bytes.data(), count, [&](uint32_t id) { highest = std::max(highest, id); });
  if (count == 0 || highest < vocabulary) return absl::OkStatus();
  int64_t place = 0, wrong = -1;
  uint32_t wrong_id = 0;
  ForEach(type, bytes.data(), count, [&](uint32_t id) {
    if (wrong < 0 && id >= vocabulary) {
      wrong = place;
      wrong_id = id;
    }
    ++place;
  });
  return absl::DataLossError(absl::StrCat(path, ": token ", wrong, " is ", wrong_id,
                                          ", expected below data.vocabulary, ", vocabulary));
}

}  // namespace

absl::StatusOr<TokenStream> TokenStream::Open(const std::string& path, TokenType type,
                                              int64_t vocabulary) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FilesBelow(path));
  TokenStream stream(type);
  for (const std::string& name : paths) {
    SLUICE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(name));
    const int64_t bytes = static_cast<int64_t>(file.bytes().size());
    if (bytes % BytesOf(type) != 0) {
      return absl::DataLossError(absl::StrCat(name, ": ", bytes,
                                              " bytes, expected a whole number of ids of ",
                                              BytesOf(type), " bytes (data.token_type)"));
    }
    // Where every value is an id there is nothing to look for, and no page to touch.
    if (vocabulary < int64_t{1} << (8 * BytesOf(type))) {
      SLUICE_RETURN_IF_ERROR(CheckIds(type, file.bytes(), name, vocabulary));
    }
    stream.ends_.push_back(stream.size() + bytes / BytesOf(type));
    stream.files_.push_back(std::move(file));
  }
  return stream;
}

void TokenStream::Read(int64_t begin, absl::Span<int64_t> out) const {
  const int64_t end = begin + static_cast<int64_t>(out.size());
  SLUICE_CHECK(begin >= 0 && end <= size(), "tokens that are read are there");
  size_t file = std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin();
  int64_t* to = out.data();
  for (int64_t at = begin; at < end; ++file) {
    const int64_t first = file == 0 ? 0 : ends_[file - 1];
    const int64_t stop = std::min(end, ends_[file]);
    ForEach(type_, files_[file].bytes().data() + (at - first) * BytesOf(type_), stop - at,
            [&](uint32_t id) { *to++ = id; });
    at = stop;
  }
}

}  // namespace sluice
