#include "training/kept_zeros.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace sluice {

void KeptZeros::Add(absl::Span<const ElementRun> runs) {
  for (const ElementRun& run : runs) runs_.push_back({run.parameter, run.begin, run.size});
  std::sort(runs_.begin(), runs_.end());
  std::vector<Run> merged;
  for (const Run& run : runs_) {
    if (!merged.empty() && merged.back()[0] == run[0]) {
      Run& last = merged.back();
      const int64_t end = last[1] + last[2];
      if (run[1] <= end) {
        last[2] = std::max(end, run[1] + run[2]) - last[1];
        continue;
      }
    }
    merged.push_back(run);
  }
  runs_ = std::move(merged);
}

void KeptZeros::ZeroIn(int index, absl::Span<float> values) const {
  auto run = std::lower_bound(runs_.begin(), runs_.end(), Run{index, 0, 0});
  for (; run != runs_.end() && (*run)[0] == index; ++run) {
    SLUICE_CHECK((*run)[1] + (*run)[2] <= static_cast<int64_t>(values.size()),
                 "the runs are the parameter's");
    std::fill_n(values.begin() + (*run)[1], (*run)[2], 0.0f);
  }
}

uint64_t KeptZeros::digest() const {
  return runs_.empty() ? 0 : XXH3_64bits(runs_.data(), runs_.size() * sizeof(Run));
}

SafeTensor KeptZeros::Save(const std::string& name) const {
  return {name,
          "I64",
          {static_cast<int64_t>(runs_.size()), 3},
          {reinterpret_cast<const char*>(runs_.data()), runs_.size() * sizeof(Run)}};
}

absl::Status KeptZeros::Load(const SafeTensor& from, absl::Span<const ParameterInfo> parameters) {
  if (from.dtype != "I64" || from.shape.size() != 2 || from.shape[1] != 3) {
    return absl::DataLossError(absl::StrCat(from.name, ": expected n times 3 whole numbers"));
  }
  std::vector<Run> runs(static_cast<size_t>(from.shape[0]));
  std::memcpy(runs.data(), from.bytes.data(), from.bytes.size());
  for (const auto& [parameter, begin, size] : runs) {
    const bool known =
        parameter >= 0 && parameter < static_cast<int64_t>(parameters.size()) && begin >= 0;
    const int64_t elements =
        known ? std::accumulate(parameters[static_cast<size_t>(parameter)].shape.begin(),
                                parameters[static_cast<size_t>(parameter)].shape.end(), int64_t{1},
                                std::multiplies<int64_t>())
              : 0;
    if (size > 0 && begin <= elements && size <= elements - begin) continue;
    return absl::DataLossError(absl::StrCat(from.name, ": ", size, " elements from ", begin,
                                            " on of parameter ", parameter, ": there are none"));
  }
  runs_ = std::move(runs);
  Add({});  // whatever their order was
  return absl::OkStatus();
}

}  // namespace sluice
