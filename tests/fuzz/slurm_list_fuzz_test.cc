// Slurm's compact node lists and task counts.

#include <cstdint>

#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "orchestrator/launcher/scheduler_env.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto names = ParseSlurmNodeList(text);
  if (names.ok()) {
    SLUICE_CHECK(!names->empty() && names->size() <= kMostHosts, "a bounded list");
    if (names->size() < 100) {
      SLUICE_CHECK(*ParseSlurmNodeList(absl::StrJoin(*names, ",")) == *names,
                   "names spelled out read the same");
    }
  } else {
    SLUICE_CHECK(absl::IsInvalidArgument(names.status()), "a documented error");
  }
  const auto counts = ParseSlurmTaskCounts(text);
  if (counts.ok()) {
    SLUICE_CHECK(!counts->empty() && counts->size() <= kMostHosts, "a bounded list");
  } else {
    SLUICE_CHECK(absl::IsInvalidArgument(counts.status()), "a documented error");
  }
  return 0;
}
