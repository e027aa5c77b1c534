#include "orchestrator/config/job_checks.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/config/nearest_word.h"

namespace sluice {
namespace {

constexpr char kQuantizer[] = "compression.quantizer";

// QSGD's levels of a norm need a bit for the sign and one for the level at the least.
void CheckNormBits(int bits, const std::string& path,
                   const std::map<std::string, std::string>& origins, ErrorList& errors) {
  if (bits >= 2) return;
  const auto at = origins.find(path);
  const auto quantizer_at = origins.find(kQuantizer);
  const std::string quantizer =
      quantizer_at == origins.end() ? "" : absl::StrCat(" (set at ", quantizer_at->second, ")");
  errors.Add(
      at == origins.end() ? "default" : at->second,
      absl::StrCat(path, ": ", kQuantizer, " l2norm", quantizer, " needs 2 bits or more, got ",
                   bits, ": raise it, or use quantizer maxmin"));
}

}  // namespace

void CheckJob(const proto::JobConfig& job, const std::map<std::string, std::string>& origins,
              ErrorList& errors) {
  const auto in_folder_name = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-' || c >= 0x80;
  };
  if (job.name().empty() || job.name()[0] == '.' || job.name()[0] == '-' ||
      !std::all_of(job.name().begin(), job.name().end(), in_folder_name)) {
    const auto at = origins.find("name");
    errors.Add(
        at == origins.end() ? "default" : at->second,
        absl::StrCat("name: expected letters, digits, \".\", \"_\" and \"-\", not starting with "
                     "\".\" or \"-\", since run folders are named after it, got ",
                     Quoted(job.name())));
  }
  if (job.compression().quantizer() == "l2norm") {
    CheckNormBits(job.compression().uniform_bits(), "compression.uniform_bits", origins, errors);
    const auto& bits = job.compression().candidate_bits();
    CheckNormBits(bits.empty() ? 2 : *std::min_element(bits.begin(), bits.end()),
                  "compression.candidate_bits", origins, errors);
  }
}

}  // namespace sluice
