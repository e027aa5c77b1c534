#include "policies/compression/error_correction.h"

#include <algorithm>
#include <cmath>

#include "policies/compression/codec_choice.h"

namespace sluice {
namespace {

// Of the option that the layer was sent with; 0: without loss, or not measured.
double ModelledError(const proto::LayerStatistics& layer, const proto::CodecChoice& codec) {
  for (const proto::OptionStatistics& option : layer.options()) {
    if (!SameCodec(option.codec(), codec)) continue;
    const double error = option.squared_error();
    return std::isfinite(error) && error > 0 ? error : 0;
  }
  return 0;
}

}  // namespace

void ErrorCorrection::Apply(const proto::CompressionPolicy& in_force,
                            proto::WindowStatistics& window) {
  const int layers = window.layers_size();
  ratios_.resize(static_cast<size_t>(layers));
  std::vector<double> modelled(static_cast<size_t>(layers));
  double lost_of_all = 0, modelled_of_all = 0;
  for (int l = 0; l < std::min(layers, in_force.layers_size()); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    if (!(layer.lost_squared_error() > 0) || !std::isfinite(layer.lost_squared_error())) continue;
    const double error = ModelledError(layer, in_force.layers(l).codec());
    if (error == 0) continue;
    modelled[l] = error;
    lost_of_all += layer.lost_squared_error();
    modelled_of_all += error;
  }
  for (int l = 0; l < layers; ++l) {
    proto::LayerStatistics& layer = *window.mutable_layers(l);
    double& ratio = ratios_[l];
    if (modelled[l] > 0) {
      const double fresh =
          std::clamp(layer.lost_squared_error() / modelled[l] / (lost_of_all / modelled_of_all),
                     1 / kMostRatio, kMostRatio);
      ratio = ratio > 0 ? std::sqrt(ratio * fresh) : fresh;
    }
    if (ratio == 0) continue;
    layer.set_error_ratio(ratio);
    for (proto::OptionStatistics& option : *layer.mutable_options()) {
      option.set_squared_error(option.squared_error() * ratio);
    }
  }
}

}  // namespace sluice
