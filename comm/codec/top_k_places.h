#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/codec/top_k_layout.h"

namespace sluice {

/// Writes the places of a top-k record, ascending, a block at a time. Every byte of the low parts
/// and of the bitmap is written, none after them.
class TopKPlaceWriter {
 public:
  /// \param body  what follows the record's header; outlives the writer
  TopKPlaceWriter(const TopKLayout& layout, uint8_t* body);

  /// \pre ascending, also across calls, and below layout.elements; layout.kept in total
  void Append(const uint32_t* places, size_t count);

  /// \pre layout.kept places were appended
  void Finish();

 private:
  // A little-endian stream of low parts and one of bitmap words, each with the part of a word that
  // is not written yet.
  const int low_bits_;
  const bool has_low_parts_;
  uint8_t* low_;
  uint64_t low_word_ = 0;
  int low_fill_ = 0;
  uint8_t* bitmap_;
  uint8_t* const bitmap_end_;
  uint64_t bitmap_base_ = 0;  // number of the bitmap word's first bit
  uint32_t bitmap_word_ = 0;
  uint64_t appended_ = 0;
};

/// What is wrong with the places of a record of the right length, or nullptr when they are
/// `layout.kept` strictly ascending places below `layout.elements` in their one form.
const char* FaultOfTopKPlaces(const TopKLayout& layout, const uint8_t* body);

/// Reads back what a TopKPlaceWriter wrote. \pre FaultOfTopKPlaces() is nullptr
class TopKPlaceReader {
 public:
  TopKPlaceReader(const TopKLayout& layout, const uint8_t* body);

  /// The next `count` places. \pre no more than layout.kept in total
  void Read(uint32_t* places, size_t count);

 private:
  const int low_bits_;
  const bool has_low_parts_;
  const uint8_t* low_;
  uint64_t low_word_ = 0;
  int low_fill_ = 0;
  const uint8_t* bitmap_;
  uint64_t bitmap_base_ = 0;
  uint32_t bitmap_word_ = 0;
  uint64_t read_ = 0;
};

}  // namespace sluice
