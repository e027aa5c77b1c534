#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/policy.pb.h"

namespace sluice {

/// Puts a window's statistics together from the parts of several profilers, each of which measures its layers. Nobody
/// waits long for one of them: what is missing is taken from the last window in which it was measured, and of a layer
/// that never was the uniform reference stays.
///
///     part of window w from  p0        p1        p2 is dead    p3 is slow
///                            |---------|----------------------------:  kPatience
///                          first      second                        w is given out, p3 is late: it is not waited for
///                                                                   until a part of its comes in time again
///
/// Where every part comes in time, what is given out depends on the parts alone. Pure. \threadsafety one thread at a time
class WindowGatherer {
 public:
  /// How long the others of a window are waited for, from its first part on.
  static constexpr absl::Duration kPatience = absl::Seconds(2);

  /// \param sizes      every layer with its options, without errors
  /// \param reference  the uniform one
  /// \param profilers  at least 1
  WindowGatherer(proto::WindowStatistics sizes, proto::CodecChoice reference, int profilers);

  /// \param profiler  in [0, profilers)
  /// \param part      layers by name; unknown ones are left out
  /// \return windows that are complete now, ascending
  std::vector<proto::WindowStatistics> OnPart(int profiler, const proto::WindowStatistics& part,
                                              absl::Time now);
  /// It will send no more.
  std::vector<proto::WindowStatistics> OnLost(int profiler);
  /// Time passes: windows whose last part is overdue.
  std::vector<proto::WindowStatistics> OnTick(absl::Time now);

 private:
  struct Source {
    int64_t newest = -1;  // window of its last part
    bool lost = false;
    bool late = false;
  };
  struct Pending {
    proto::WindowStatistics window;
    std::vector<bool> here;  // by profiler
    absl::Time since;        // of its first part
  };

  bool Complete(int64_t number, const Pending& pending) const;
  std::vector<proto::WindowStatistics> TakeComplete();
  proto::WindowStatistics Take(Pending& pending);

  const proto::WindowStatistics sizes_;
  const proto::CodecChoice reference_;
  std::map<std::string, int> layers_;                            // by name
  std::vector<std::optional<proto::LayerStatistics>> measured_;  // by layer: the last time
  std::vector<int64_t> measured_in_;                             // that window
  std::vector<Source> sources_;
  std::map<int64_t, Pending> pending_;
  int64_t given_out_ = -1;
};

}  // namespace sluice
