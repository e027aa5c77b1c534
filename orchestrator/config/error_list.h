#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

/// The errors of one job file, so that its user repairs it in one go.
class ErrorList {
 public:
  static constexpr int kMostShown = 20;

  /// `where: what`; beyond kMostShown errors are only counted.
  void Add(absl::string_view where, absl::string_view what);

  bool empty() const { return count_ == 0; }

  /// OK when empty, else kInvalidArgument with one line per error.
  absl::Status ToStatus() const;

 private:
  std::vector<std::string> lines_;
  int count_ = 0;
};

}  // namespace sluice
