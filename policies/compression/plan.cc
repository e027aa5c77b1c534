#include "policies/compression/plan.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policies/compression/codec_choice.h"

namespace sluice {
namespace {

bool IsBytes(double bytes) { return std::isfinite(bytes) && bytes >= 0; }

}  // namespace

int FindOption(const proto::LayerStatistics& layer, const proto::CodecChoice& codec) {
  for (int i = 0; i < layer.options_size(); ++i) {
    if (SameCodec(layer.options(i).codec(), codec)) return i;
  }
  return -1;
}

absl::StatusOr<OptionIndices> RawOptions(const proto::WindowStatistics& window) {
  if (window.layers().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("statistics of window ", window.window(), ": no layers"));
  }
  if (!IsBytes(window.fixed_wire_bytes())) {
    return absl::InvalidArgumentError(absl::StrCat("statistics of window ", window.window(),
                                                   ": fixed_wire_bytes is ",
                                                   window.fixed_wire_bytes()));
  }
  OptionIndices raw;
  for (const proto::LayerStatistics& layer : window.layers()) {
    raw.push_back(FindOption(layer, proto::CodecChoice()));
    if (raw.back() < 0) {
      return absl::InvalidArgumentError(absl::StrCat("statistics of window ", window.window(),
                                                     ": layer ", layer.name(),
                                                     " has no raw option"));
    }
    for (const proto::OptionStatistics& option : layer.options()) {
      if (IsBytes(option.wire_bytes())) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "statistics of window ", window.window(), ": layer ", layer.name(), " has an option of ",
          option.wire_bytes(), " wire bytes, expected a finite number from 0"));
    }
  }
  return raw;
}

absl::StatusOr<OptionIndices> UniformOptions(const proto::WindowStatistics& window,
                                             const proto::CodecChoice& reference) {
  SLUICE_ASSIGN_OR_RETURN(OptionIndices options, RawOptions(window));
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    if (!layer.eligible()) continue;
    options[l] = FindOption(layer, reference);
    if (options[l] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("statistics of window ", window.window(), ": eligible layer ", layer.name(),
                       " lacks the uniform reference (", reference.ShortDebugString(), ")"));
    }
  }
  return options;
}

std::optional<OptionIndices> OptionsOf(const proto::WindowStatistics& window,
                                       const proto::CompressionPolicy& plan) {
  if (plan.layers_size() != window.layers_size()) return std::nullopt;
  OptionIndices options;
  for (int l = 0; l < window.layers_size(); ++l) {
    if (plan.layers(l).name() != window.layers(l).name()) return std::nullopt;
    options.push_back(FindOption(window.layers(l), plan.layers(l).codec()));
    if (options.back() < 0) return std::nullopt;
  }
  return options;
}

double PlanBytes(const proto::WindowStatistics& window, const OptionIndices& options) {
  double bytes = window.fixed_wire_bytes();
  for (int l = 0; l < window.layers_size(); ++l) {
    bytes += window.layers(l).options(options[l]).wire_bytes();
  }
  return bytes;
}

proto::CompressionPolicy MakePlan(const proto::WindowStatistics& window,
                                  const OptionIndices& options, std::string reason) {
  proto::CompressionPolicy plan;
  for (int l = 0; l < window.layers_size(); ++l) {
    proto::LayerChoice* choice = plan.add_layers();
    choice->set_name(window.layers(l).name());
    *choice->mutable_codec() = window.layers(l).options(options[l]).codec();
  }
  plan.set_predicted_bytes(PlanBytes(window, options));
  plan.set_reason(std::move(reason));
  return plan;
}

}  // namespace sluice
