#include "comm/codec/top_k_places.h"

#include <cstring>

#include "base/check.h"

namespace sluice {
namespace {

// Words of both streams. Records lie at any address.
uint32_t LoadWord(const uint8_t* at) {
  uint32_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

void StoreWord(uint32_t word, uint8_t* at) { std::memcpy(at, &word, sizeof(word)); }

bool BitsFromAreZero(const uint8_t* words, size_t bytes, size_t used_bits) {
  // No more than one word is part padding, and none is all padding.
  return used_bits % 32 == 0 || LoadWord(words + bytes - 4) >> (used_bits % 32) == 0;
}

}  // namespace

TopKPlaceWriter::TopKPlaceWriter(const TopKLayout& layout, uint8_t* body)
    : low_bits_(layout.low_bits),
      has_low_parts_(layout.has_low_parts),
      low_(body),
      bitmap_(body + layout.low_bytes),
      bitmap_end_(bitmap_ + layout.bitmap_bytes) {}

void TopKPlaceWriter::Append(const uint32_t* places, size_t count) {
  // Copies, so that stores of bytes cannot alias them.
  const uint64_t low_mask = (uint64_t{1} << low_bits_) - 1;
  uint64_t low_word = low_word_;
  int low_fill = low_fill_;
  uint8_t* low = low_;
  uint64_t base = bitmap_base_;
  uint32_t word = bitmap_word_;
  uint8_t* bitmap = bitmap_;
  for (size_t i = 0; i < count; ++i) {
    low_word |= (places[i] & low_mask) << low_fill;
    low_fill += low_bits_;
    if (low_fill >= 32) {
      StoreWord(static_cast<uint32_t>(low_word), low);
      low += 4;
      low_word >>= 32;
      low_fill -= 32;
    }
    const uint64_t bit = (places[i] >> low_bits_) + (has_low_parts_ ? appended_ + i : 0);
    while (bit - base >= 32) {
      StoreWord(word, bitmap);
      bitmap += 4;
      base += 32;
      word = 0;
    }
    word |= uint32_t{1} << (bit - base);
  }
  low_word_ = low_word;
  low_fill_ = low_fill;
  low_ = low;
  bitmap_base_ = base;
  bitmap_word_ = word;
  bitmap_ = bitmap;
  appended_ += count;
}

void TopKPlaceWriter::Finish() {
  if (low_fill_ > 0) StoreWord(static_cast<uint32_t>(low_word_), low_);
  SLUICE_CHECK(bitmap_ < bitmap_end_, "places fit their bitmap");
  StoreWord(bitmap_word_, bitmap_);
  std::memset(bitmap_ + 4, 0, static_cast<size_t>(bitmap_end_ - bitmap_) - 4);
}

const char* FaultOfTopKPlaces(const TopKLayout& layout, const uint8_t* body) {
  const uint8_t* const bitmap = body + layout.low_bytes;
  if (!BitsFromAreZero(body, layout.low_bytes,
                       layout.kept * static_cast<size_t>(layout.low_bits)) ||
      !BitsFromAreZero(bitmap, layout.bitmap_bytes, layout.bitmap_bits)) {
    return "padding of the places is not zero";
  }
  size_t set = 0;
  for (size_t at = 0; at < layout.bitmap_bytes; at += 4) {
    set += static_cast<size_t>(__builtin_popcount(LoadWord(bitmap + at)));
  }
  if (set != layout.kept) return "the bitmap has another count of places";
  if (!layout.has_low_parts) return nullptr;  // ascending and below bitmap_bits by construction

  TopKPlaceReader reader(layout, body);
  int64_t last = -1;
  uint32_t places[kTopKBlock];
  for (size_t done = 0; done < layout.kept;) {
    const size_t count = layout.kept - done < kTopKBlock ? layout.kept - done : kTopKBlock;
    reader.Read(places, count);
    bool ascending = true;
    for (size_t i = 0; i < count; ++i) {
      ascending &= last < static_cast<int64_t>(places[i]);
      last = places[i];
    }
    if (!ascending) return "places do not ascend";
    done += count;
  }
  // The bitmap keeps the high part in range, not the low one.
  if (last >= static_cast<int64_t>(layout.elements)) return "a place is past the last element";
  return nullptr;
}

TopKPlaceReader::TopKPlaceReader(const TopKLayout& layout, const uint8_t* body)
    : low_bits_(layout.low_bits),
      has_low_parts_(layout.has_low_parts),
      low_(body),
      bitmap_(body + layout.low_bytes),
      bitmap_word_(LoadWord(bitmap_)) {}

void TopKPlaceReader::Read(uint32_t* places, size_t count) {
  const uint64_t low_mask = (uint64_t{1} << low_bits_) - 1;
  uint64_t low_word = low_word_;
  int low_fill = low_fill_;
  const uint8_t* low = low_;
  uint64_t base = bitmap_base_;
  uint32_t word = bitmap_word_;
  const uint8_t* bitmap = bitmap_;
  for (size_t i = 0; i < count; ++i) {
    while (word == 0) {  // ends: the bitmap has a bit left for each place left
      bitmap += 4;
      base += 32;
      word = LoadWord(bitmap);
    }
    const uint64_t bit = base + static_cast<uint64_t>(__builtin_ctz(word));
    word &= word - 1;
    if (low_fill < low_bits_) {
      low_word |= static_cast<uint64_t>(LoadWord(low)) << low_fill;
      low += 4;
      low_fill += 32;
    }
    const uint64_t high = bit - (has_low_parts_ ? read_ + i : 0);
    places[i] = static_cast<uint32_t>(high << low_bits_ | (low_word & low_mask));
    low_word >>= low_bits_;
    low_fill -= low_bits_;
  }
  low_word_ = low_word;
  low_fill_ = low_fill;
  low_ = low;
  bitmap_base_ = base;
  bitmap_word_ = word;
  bitmap_ = bitmap;
  read_ += count;
}

}  // namespace sluice
