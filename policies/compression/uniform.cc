#include "policies/compression/uniform.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policies/compression/plan.h"

namespace sluice {
namespace {

std::string Describe(const proto::CodecChoice& codec) {
  const std::string in_buckets = absl::StrCat(" in buckets of ", codec.bucket_size());
  switch (codec.kind()) {
    case proto::CODEC_FP16:
      return "fp16";
    case proto::CODEC_BF16:
      return "bf16";
    case proto::CODEC_SIGN:
      return absl::StrCat("signs", in_buckets);
    case proto::CODEC_CLIPPED:
      return absl::StrCat(codec.bits(), " clipped bits", in_buckets);
    case proto::CODEC_TERNARY:
      return absl::StrCat("three levels", in_buckets);
    case proto::CODEC_TOP_K:
      return absl::StrCat("the largest ", codec.density_ppm() / 1e4, " % of the values with ",
                          codec.bits(), " bits each");
    case proto::CODEC_LOW_RANK:
      return absl::StrCat("rank ", codec.rank(), " with factors of ", codec.bits(), " bits");
    default:
      return absl::StrCat(codec.bits(), " bits", in_buckets);
  }
}

}  // namespace

absl::StatusOr<proto::CompressionPolicy> UniformPolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices options, UniformOptions(window, reference_));
  int eligible = 0;
  for (const proto::LayerStatistics& layer : window.layers()) eligible += layer.eligible();
  proto::CompressionPolicy plan =
      MakePlan(window, options,
               absl::StrCat("uniform: ", Describe(reference_), " on ", eligible, " of ",
                            window.layers_size(), " layers, as configured"));
  plan.set_uniform_bytes(plan.predicted_bytes());
  return plan;
}

}  // namespace sluice
