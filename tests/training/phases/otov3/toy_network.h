#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/random.h"
#include "models/graph/groups.h"
#include "training/phases/otov3/group_view.h"
#include "training/trainer.h"

namespace sluice::otov3 {

/// Three tensors that a convolution, its norm and a transposed convolution could have, and groups of two classes:
/// class 0, 12 units: rows of "a" and elements of "b"; class 1, 9 units: columns of "c", in its middle dimension.
struct ToyNetwork {
  std::vector<ParameterInfo> parameters = {{"c", {4, 9, 3}}, {"b", {12}}, {"a", {12, 5}}};
  std::vector<graph::Group> groups;
  std::vector<std::vector<float>> values;
  std::vector<absl::Span<float>> spans;

  explicit ToyNetwork(uint64_t seed) {
    for (int u = 11; u >= 0; --u) groups.push_back({0, u, {{"a", 0, {u}}, {"b", 0, {u}}}, 6, 10});
    for (int u = 0; u < 9; ++u) groups.push_back({1, u, {{"c", 1, {u}}}, 12, 20});
    const RandomKey key(seed);
    for (const ParameterInfo& parameter : parameters) {
      int64_t elements = 1;
      for (int64_t extent : parameter.shape) elements *= extent;
      std::vector<float> tensor;
      for (int64_t i = 0; i < elements; ++i) {
        tensor.push_back(Uniform(key.With(parameter.name), static_cast<uint64_t>(i)));
      }
      values.push_back(std::move(tensor));
    }
    for (std::vector<float>& tensor : values) spans.push_back(absl::MakeSpan(tensor));
  }
  ToyNetwork(const ToyNetwork&) = delete;  // spans point into it

  static float Uniform(const RandomKey& key, uint64_t i) {
    return static_cast<float>(static_cast<double>(key.Bits(i) >> 11) / 4503599627370496.0 - 1);
  }

  /// As an optimiser with rate `rate` would: towards zero a little, and at random.
  void Step(uint64_t seed, double rate) {
    const RandomKey key(seed);
    for (size_t p = 0; p < values.size(); ++p) {
      for (size_t i = 0; i < values[p].size(); ++i) {
        const double d = 0.1 * values[p][i] + Uniform(key.With(p), i);
        values[p][i] = static_cast<float>(values[p][i] - rate * d);
      }
    }
  }
};

}  // namespace sluice::otov3
