#include "actors/window_profiler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "actors/codec_choice.h"
#include "base/status_macros.h"
#include "comm/codec/codec_error.h"
#include "comm/low_rank/low_rank_error.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"

namespace sluice {
namespace {

// Those of low rank from one spectrum, the others as SquaredErrors shares their passes.
std::vector<double> OptionErrors(const std::vector<CodecConfig>& codecs,
                                 const std::vector<float>& values, int64_t rows) {
  std::vector<CodecConfig> records;
  std::vector<int> ranks;
  for (const CodecConfig& codec : codecs) {
    if (codec.kind == CodecKind::kLowRank) {
      ranks.push_back(codec.rank);
    } else {
      records.push_back(codec);
    }
  }
  const std::vector<double> of_records = SquaredErrors(records, values);
  std::vector<double> of_ranks;
  if (!ranks.empty()) {
    of_ranks =
        LowRankSquaredErrors(values, rows, static_cast<int64_t>(values.size()) / rows, ranks);
  }
  std::vector<double> errors;
  size_t record = 0, rank = 0;
  for (const CodecConfig& codec : codecs) {
    errors.push_back(codec.kind == CodecKind::kLowRank ? of_ranks[rank++] : of_records[record++]);
  }
  return errors;
}

}  // namespace

absl::StatusOr<WindowProfiler> WindowProfiler::Create(
    const proto::Compression& compression, const BucketLayout& layout,
    const google::protobuf::RepeatedPtrField<proto::TensorSpec>& tensors,
    const CodecSpeeds& speeds) {
  const proto::CodecChoice reference = UniformCodec(compression);
  WindowProfiler profiler;
  profiler.sizes_.set_fixed_wire_bytes(layout.FixedWireBytes());
  profiler.sizes_.set_world_size(layout.world_size());
  for (int i = 0; i < tensors.size(); ++i) {
    const TensorInfo& info = layout.tensors()[i];
    proto::LayerStatistics& layer = *profiler.sizes_.add_layers();
    layer.set_name(tensors[i].name());
    layer.set_elements(info.elements);
    layer.set_eligible(IsEligible(compression, tensors[i]));
    layer.set_bucket(layout.places()[i].bucket);
    *layer.mutable_shape() = tensors[i].shape();
    const double raw_bytes = layout.TensorWireBytes(i, CodecConfig{});
    std::vector<CodecConfig> codecs;
    for (const proto::CodecChoice& candidate : CandidateCodecs(compression, tensors[i])) {
      const bool raw = candidate.kind() == proto::CODEC_RAW;
      if (!layer.eligible() && !raw) continue;
      SLUICE_ASSIGN_OR_RETURN(CodecConfig config, ToCodecConfig(candidate));
      const double bytes = layout.TensorWireBytes(i, config);
      if (bytes >= raw_bytes && !raw && !SameCodec(candidate, reference)) continue;
      proto::OptionStatistics& option = *layer.add_options();
      *option.mutable_codec() = candidate;
      option.set_wire_bytes(bytes);
      option.set_codec_seconds(CodecSeconds(speeds, config, info, layout.world_size(),
                                            compression.error_feedback() == "on"));
      codecs.push_back(config);
    }
    profiler.codecs_.push_back(std::move(codecs));
    profiler.rows_.push_back(info.rows);
  }
  return profiler;
}

std::vector<CodecConfig> WindowProfiler::Codecs() const {
  std::vector<CodecConfig> all;
  for (const std::vector<CodecConfig>& codecs : codecs_) {
    for (const CodecConfig& codec : codecs) {
      if (std::find(all.begin(), all.end(), codec) == all.end()) all.push_back(codec);
    }
  }
  return all;
}

proto::WindowStatistics WindowProfiler::Measure(const WindowSnapshot& snapshot) const {
  proto::WindowStatistics measured = sizes_;
  measured.set_window(snapshot.window);
  measured.set_last_step(snapshot.last_step.value);
  measured.clear_layers();
  for (int i = 0; i < sizes_.layers_size(); ++i) {
    const std::vector<float>& values = snapshot.tensors[i];
    if (values.empty()) continue;
    proto::LayerStatistics& layer = *measured.add_layers();
    layer = sizes_.layers(i);
    double squared_norm = 0;
    for (float v : values) squared_norm += static_cast<double>(v) * v;
    layer.set_squared_norm(squared_norm);
    if (!snapshot.lost_squared.empty() && snapshot.lost_squared[i] > 0) {
      layer.set_lost_squared_error(snapshot.lost_squared[i]);
    }
    if (!layer.eligible()) continue;
    const std::vector<double> errors = OptionErrors(codecs_[i], values, rows_[i]);
    for (int k = 0; k < layer.options_size(); ++k) {
      double error = errors[k];
      // The same sum, added up in another order, could be above the norm: worse than what it is.
      if (codecs_[i][k].kind == CodecKind::kDrop && std::isfinite(error)) error = squared_norm;
      layer.mutable_options(k)->set_squared_error(error);
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
