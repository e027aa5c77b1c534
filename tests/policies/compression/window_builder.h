#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "policies/compression/compression_policy.h"
#include "proto/job.pb.h"
#include "proto/policy.pb.h"

namespace sluice {

/// The job's defaults with fewer candidates.
inline proto::Compression Config(const std::string& policy = "lgreco") {
  proto::Compression config;
  config.set_policy(policy);
  config.set_uniform_bits(4);
  config.set_uniform_bucket(512);
  config.set_alpha(1);
  config.set_metric("l2");
  for (const char* family : {"quantizer", "cast"}) config.add_candidate_families(family);
  for (const int bits : {2, 3, 4, 6, 8}) config.add_candidate_bits(bits);
  for (const int bucket : {128, 512}) config.add_candidate_buckets(bucket);
  config.set_quantizer("maxmin");
  config.set_rounding("nearest");
  config.set_min_elements(1024);
  return config;
}

inline proto::TensorSpec Tensor(const std::vector<int64_t>& shape) {
  proto::TensorSpec tensor;
  for (const int64_t extent : shape) tensor.add_shape(extent);
  return tensor;
}

/// Bytes that a codec needs for `elements` values, nearly as the real ones.
inline double Bytes(const proto::CodecChoice& codec, int64_t elements) {
  const double n = static_cast<double>(elements);
  if (codec.kind() == proto::CODEC_RAW) return 16 + 4 * n;
  if (codec.kind() == proto::CODEC_FP16) return 16 + 2 * n;
  const double scales = codec.bucket_size() > 0 ? std::ceil(n / codec.bucket_size()) : 0;
  return 16 + codec.bits() * n / 8 + 8 * scales;
}

/// An eligible layer with every candidate of the job, whose errors fall with the bits as a
/// quantiser's do.
inline proto::LayerStatistics QuantisedLayer(const proto::Compression& config,
                                             const std::string& name, int64_t elements,
                                             double squared_norm) {
  proto::LayerStatistics layer;
  layer.set_name(name);
  layer.set_elements(elements);
  layer.set_eligible(true);
  layer.set_squared_norm(squared_norm);
  for (const proto::CodecChoice& codec : CandidateCodecs(config, Tensor({elements}))) {
    proto::OptionStatistics* option = layer.add_options();
    *option->mutable_codec() = codec;
    option->set_wire_bytes(Bytes(codec, elements));
    if (codec.kind() == proto::CODEC_FP16) option->set_squared_error(squared_norm * 1e-7);
    if (codec.bucket_size() > 0) {
      const double step = std::pow(2.0, codec.bits()) - 1;
      option->set_squared_error(squared_norm * std::sqrt(codec.bucket_size()) / 30 / (step * step));
    }
  }
  return layer;
}

inline proto::LayerStatistics RawLayer(const std::string& name, int64_t elements) {
  proto::LayerStatistics layer;
  layer.set_name(name);
  layer.set_elements(elements);
  layer.set_squared_norm(1);
  layer.add_options()->set_wire_bytes(16 + 4 * static_cast<double>(elements));
  return layer;
}

/// Layers of all sizes, norms over several magnitudes, errors that jump, some layers raw, bytes
/// that are means over ranks.
inline proto::WindowStatistics RandomWindow(const proto::Compression& config, RandomKey key) {
  uint64_t counter = 0;
  auto unit = [&] { return static_cast<double>(key.Bits(counter++) >> 11) * 0x1p-53; };
  proto::WindowStatistics window;
  window.set_fixed_wire_bytes(1000 * unit());
  const int layers = 1 + static_cast<int>(unit() * 30);
  for (int l = 0; l < layers; ++l) {
    const std::string name = "layer" + std::to_string(l);
    const int64_t elements = static_cast<int64_t>(std::exp2(4 + 16 * unit()));
    if (unit() < 0.3) {
      *window.add_layers() = RawLayer(name, elements);
      continue;
    }
    proto::LayerStatistics layer =
        QuantisedLayer(config, name, elements, std::pow(10.0, 12 * unit() - 6));
    for (proto::OptionStatistics& option : *layer.mutable_options()) {
      option.set_squared_error(option.squared_error() * (0.25 + 2 * unit()));
      option.set_wire_bytes(option.wire_bytes() * (1 + 0.1 * unit()) / 3);
    }
    *window.add_layers() = layer;
  }
  return window;
}

}  // namespace sluice
