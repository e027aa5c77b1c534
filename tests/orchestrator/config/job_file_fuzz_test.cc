// No text may crash or hang the readers of job files, and a job that was accepted is written such
// that reading it gives the same job.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "orchestrator/config/job_loader.h"
#include "orchestrator/config/job_writer.h"

namespace {

void ExpectRereadable(const absl::StatusOr<sluice::proto::JobConfig>& job) {
  if (!job.ok()) return;
  const auto back =
      sluice::ParseJob(sluice::JobToYaml(*job), sluice::JobFormat::kYaml, "written", {});
  if (!back.ok() || sluice::JobDigest(*back) != sluice::JobDigest(*job)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  ExpectRereadable(sluice::ParseJob(text, sluice::JobFormat::kYaml, "fuzz", {}));
  ExpectRereadable(sluice::ParseJob(text, sluice::JobFormat::kTextproto, "fuzz", {}));
  ExpectRereadable(sluice::ParseJob("", sluice::JobFormat::kYaml, "fuzz", {text}));
  return 0;
}
