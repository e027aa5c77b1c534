#include "actors/window_profiler.h"

#include "actors/codec_choice.h"
#include "base/status_macros.h"
#include "comm/codec/codec_error.h"
#include "policies/compression/compression_policy.h"

namespace sluice {

absl::StatusOr<WindowProfiler> WindowProfiler::Create(
    const proto::Compression& compression, const BucketLayout& layout,
    const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors) {
  const std::vector<proto::CodecChoice> candidates = CandidateCodecs(compression);
  WindowProfiler profiler;
  profiler.sizes_.set_fixed_wire_bytes(layout.FixedWireBytes());
  profiler.sizes_.set_world_size(layout.world_size());
  for (int i = 0; i < tensors.size(); ++i) {
    proto::LayerStatistics& layer = *profiler.sizes_.add_layers();
    layer.set_name(tensors[i].name());
    layer.set_elements(layout.tensors()[i].elements);
    layer.set_eligible(IsEligible(compression, tensors[i]));
    layer.set_bucket(layout.places()[i].bucket);
    *layer.mutable_shape() = tensors[i].shape();
    std::vector<CodecConfig> codecs;
    for (const proto::CodecChoice& candidate : candidates) {
      if (!layer.eligible() && candidate.kind() != proto::CODEC_RAW) continue;
      SLUICE_ASSIGN_OR_RETURN(CodecConfig config, ToCodecConfig(candidate));
      proto::OptionStatistics& option = *layer.add_options();
      *option.mutable_codec() = candidate;
      option.set_wire_bytes(layout.TensorWireBytes(i, config));
      codecs.push_back(config);
    }
    profiler.codecs_.push_back(std::move(codecs));
  }
  return profiler;
}

proto::WindowStatistics WindowProfiler::Measure(const WindowSnapshot& snapshot) const {
  proto::WindowStatistics measured = sizes_;
  measured.set_window(snapshot.window);
  measured.set_last_step(snapshot.last_step.value);
  for (int i = 0; i < measured.layers_size(); ++i) {
    proto::LayerStatistics& layer = *measured.mutable_layers(i);
    const std::vector<float>& values = snapshot.tensors[i];
    double squared_norm = 0;
    for (float v : values) squared_norm += static_cast<double>(v) * v;
    layer.set_squared_norm(squared_norm);
    if (!layer.eligible()) continue;
    const std::vector<double> errors = SquaredErrors(codecs_[i], values);
    for (int k = 0; k < layer.options_size(); ++k) {
      layer.mutable_options(k)->set_squared_error(errors[k]);
    }
  }
  return measured;
}

double RawWireBytes(const BucketLayout& layout) {
  double bytes = layout.FixedWireBytes();
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    bytes += layout.TensorWireBytes(static_cast<int>(i), CodecConfig{});
  }
  return bytes;
}

}  // namespace sluice
