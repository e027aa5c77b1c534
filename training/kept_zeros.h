#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "training/safetensors.h"
#include "training/trainer.h"

namespace sluice {

/// Elements of a network's parameters that some phase drove to zero, and that stay zero in all phases after it.
/// \threadsafety none
class KeptZeros {
 public:
  /// They may overlap what is there, and each other.
  void Add(absl::Span<const ElementRun> runs);

  bool empty() const { return runs_.empty(); }

  /// Zeroes what is kept zero of `values`, all of parameter `index` or of its gradient.
  void ZeroIn(int index, absl::Span<float> values) const;

  /// Of what is kept zero, in whatever order it came; 0 = nothing.
  uint64_t digest() const;

  /// As a tensor, for a state; its bytes are borrowed until the next Add or Load.
  SafeTensor Save(const std::string& name) const;

  /// Takes over what Save gave, in the place of what is there.
  /// \error kDataLoss  not of these parameters; nothing was changed
  absl::Status Load(const SafeTensor& from, absl::Span<const ParameterInfo> parameters);

 private:
  using Run = std::array<int64_t, 3>;  // parameter, begin, size

  std::vector<Run> runs_;  // ascending, apart from each other
};

}  // namespace sluice
