#include "actors/codec_choice.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {

static_assert(static_cast<int>(CodecKind::kLowRank) == proto::CODEC_LOW_RANK &&
                  static_cast<int>(CodecKind::kL2Norm) == proto::CODEC_L2NORM,
              "kinds have one number, on the data plane and in policies");

absl::StatusOr<CodecConfig> ToCodecConfig(const proto::CodecChoice& choice) {
  CodecConfig config;
  if (choice.kind() < proto::CODEC_RAW || choice.kind() > proto::CODEC_LOW_RANK) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown codec kind ", static_cast<int>(choice.kind())));
  }
  config.kind = static_cast<CodecKind>(choice.kind());  // the numbers are the same
  if (choice.bits() < 0 || choice.bits() > 255 || choice.bucket_size() < 0 ||
      choice.density_ppm() < 0 || choice.rank() < 0 || choice.rank() > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("codec parameters out of range: ", choice.ShortDebugString()));
  }
  config.bits = static_cast<uint8_t>(choice.bits());
  config.bucket_size = static_cast<uint32_t>(choice.bucket_size());
  config.stochastic = choice.stochastic();
  config.density_ppm = static_cast<uint32_t>(choice.density_ppm());
  config.exact = choice.exact();
  config.rank = static_cast<uint16_t>(choice.rank());
  SLUICE_RETURN_IF_ERROR(ValidateCodec(config));
  return config;
}

proto::CodecChoice ToCodecChoice(const CodecConfig& config) {
  proto::CodecChoice choice;
  choice.set_kind(static_cast<proto::CodecKind>(config.kind));
  choice.set_bits(config.bits);
  choice.set_bucket_size(static_cast<int32_t>(config.bucket_size));
  choice.set_stochastic(config.stochastic);
  choice.set_density_ppm(static_cast<int32_t>(config.density_ppm));
  choice.set_exact(config.exact);
  choice.set_rank(config.rank);
  return choice;
}

absl::StatusOr<CodecPlan> ToCodecPlan(const proto::CompressionPolicy& policy,
                                      const BucketLayout& layout) {
  if (policy.layers_size() != static_cast<int>(layout.tensors().size())) {
    return absl::InvalidArgumentError(absl::StrCat("policy ", policy.version(), " has ",
                                                   policy.layers_size(), " layers, the model has ",
                                                   layout.tensors().size()));
  }
  CodecPlan plan;
  plan.version = policy.version();
  plan.effective_step = Step(policy.effective_step());
  for (int i = 0; i < policy.layers_size(); ++i) {
    const proto::LayerChoice& layer = policy.layers(i);
    if (layer.name() != layout.tensors()[i].name) {
      return absl::InvalidArgumentError(absl::StrCat("policy ", policy.version(), ", layer ", i,
                                                     ": \"", layer.name(), "\", the model has \"",
                                                     layout.tensors()[i].name, "\" there"));
    }
    auto config = ToCodecConfig(layer.codec());
    if (!config.ok()) {
      return Annotate(config.status(),
                      absl::StrCat("policy ", policy.version(), ", layer ", layer.name()));
    }
    plan.codecs.push_back(*config);
  }
  return plan;
}

absl::StatusOr<std::vector<TensorInfo>> ToTensorInfos(
    const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors) {
  std::vector<TensorInfo> infos;
  for (const proto::TensorSpec& tensor : tensors) {
    int64_t elements = 1;
    for (int64_t extent : tensor.shape()) {
      if (extent <= 0 || __builtin_mul_overflow(elements, extent, &elements)) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor \"", tensor.name(), "\" has an impossible shape"));
      }
    }
    const int64_t rows = tensor.shape_size() < 2 ? 1 : tensor.shape(0);
    infos.push_back({tensor.name(), elements, rows});
  }
  return infos;
}

absl::StatusOr<BucketLayout> LayoutOf(
    const proto::JobConfig& job,
    const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors, int world_size) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<TensorInfo> infos, ToTensorInfos(tensors));
  return BucketLayout::Create(std::move(infos),
                              static_cast<int64_t>(job.communication().bucket_mb() * (1 << 20)),
                              world_size);
}

}  // namespace sluice
