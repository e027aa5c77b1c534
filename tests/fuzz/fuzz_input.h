#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace sluice {

/// Cuts a fuzzer's bytes into the values that a target needs. Past the end everything is zero, so
/// that any input is a valid one.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  size_t remaining() const { return size_; }

  /// The next sizeof(T) bytes as a trivially copyable T.
  template <class T>
  T Take() {
    T value{};
    const size_t n = std::min(sizeof(T), size_);
    if (n > 0) std::memcpy(&value, data_, n);
    Skip(n);
    return value;
  }

  /// All that is left, as whole values of T; the odd bytes at the end are dropped.
  template <class T>
  std::vector<T> TakeRest() {
    std::vector<T> values(size_ / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), data_, values.size() * sizeof(T));
    Skip(size_);
    return values;
  }

 private:
  void Skip(size_t n) {
    data_ += n;
    size_ -= n;
  }

  const uint8_t* data_;
  size_t size_;
};

}  // namespace sluice
