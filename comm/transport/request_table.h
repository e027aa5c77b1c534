#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/check.h"
#include "comm/transport/transport.h"

namespace sluice {

/// The operations in flight of one transport: gives each a RequestId and finds it again.
///
///     RequestId:  | generation of the slot, from 1 | slot index |
///                   32 bits                          32 bits
///
/// Slots are reused and keep their address; a table that has reached its largest size allocates no
/// more.
template <class T>
class RequestTable {
 public:
  /// A new operation in a default-constructed T.
  RequestId Add() {
    if (free_.empty()) {
      free_.reserve(slots_.size() + 1);
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    slots_[index].used = true;
    return (static_cast<RequestId>(slots_[index].generation) << 32) | index;
  }

  /// \pre `request` came from Add and was not removed
  T& at(RequestId request) { return Find(request).value; }

  /// \pre as for at()
  void Remove(RequestId request) {
    Slot& slot = Find(request);
    slot.value = T();
    slot.used = false;
    if (++slot.generation == 0) slot.generation = 1;
    free_.push_back(static_cast<uint32_t>(request));
  }

  /// Calls visit(T&) for every operation, in the order of slots; `visit` may not add or remove any.
  template <class Visit>
  void ForEach(Visit visit) {
    for (Slot& slot : slots_) {
      if (slot.used) visit(slot.value);
    }
  }

  bool empty() const { return free_.size() == slots_.size(); }

 private:
  struct Slot {
    T value;
    uint32_t generation = 1;
    bool used = false;
  };

  Slot& Find(RequestId request) {
    const auto index = static_cast<uint32_t>(request);
    SLUICE_CHECK(index < slots_.size() && slots_[index].used &&
                     slots_[index].generation == static_cast<uint32_t>(request >> 32),
                 "a transport request was used after its outcome had been returned");
    return slots_[index];
  }

  std::deque<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace sluice
