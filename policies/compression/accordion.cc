#include "policies/compression/accordion.h"

#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policies/compression/error_table.h"

namespace sluice {
namespace {

// The best of the layer's options that may be light beside `reference`, which has a finite error.
int LightOption(const proto::LayerStatistics& layer, const ErrorTable& errors, int l,
                int reference) {
  const proto::CodecKind kind = layer.options(reference).codec().kind();
  const double most_bytes = AccordionPolicy::kLightBytes * layer.options(reference).wire_bytes();
  const auto best_of = [&](bool same_kind) {
    int best = reference;
    const auto rank = [&](int c) {
      return std::make_tuple(errors.error(l, c), layer.options(c).wire_bytes());
    };
    for (int c = 0; c < layer.options_size(); ++c) {
      if (same_kind && layer.options(c).codec().kind() != kind) continue;
      if (layer.options(c).wire_bytes() > most_bytes) continue;
      if (errors.error(l, c) < errors.error(l, reference) && rank(c) < rank(best)) best = c;
    }
    return best;
  };
  const int same_kind = best_of(true);
  return same_kind != reference ? same_kind : best_of(false);
}

}  // namespace

AccordionPolicy::AccordionPolicy(const proto::Compression& config)
    : reference_(UniformCodec(config)), threshold_(config.accordion_threshold()) {}

bool AccordionPolicy::Changing(size_t layer, double norm) const {
  if (layer >= norms_.size()) return true;
  const double old = norms_[layer];
  if (old == 0 || !std::isfinite(old) || !std::isfinite(norm)) return true;
  return std::abs(old - norm) / old >= threshold_;
}

absl::StatusOr<AccordionPolicy::Choices> AccordionPolicy::Choose(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices raw, RawOptions(window));
  Choices choices;
  SLUICE_ASSIGN_OR_RETURN(choices.options, UniformOptions(window, reference_));
  const ErrorTable errors(window, "l2");
  std::vector<double> norms;
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    norms.push_back(std::sqrt(layer.squared_norm()));
    if (!layer.eligible()) continue;
    ++choices.eligible;
    int& option = choices.options[l];
    if (!std::isfinite(errors.error(l, option))) {
      option = raw[l];
      ++choices.light;
    } else if (Changing(l, norms[l])) {
      option = LightOption(layer, errors, l, option);
      ++choices.light;
    }
  }
  norms_ = std::move(norms);
  return choices;
}

std::string AccordionPolicy::SaveState() const {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");
  return std::string(reinterpret_cast<const char*>(norms_.data()), norms_.size() * sizeof(double));
}

absl::Status AccordionPolicy::RestoreState(absl::string_view bytes) {
  if (bytes.size() % sizeof(double) != 0) {
    return absl::DataLossError(
        absl::StrCat("accordion: state of ", bytes.size(), " bytes, expected doubles"));
  }
  norms_.resize(bytes.size() / sizeof(double));
  if (!norms_.empty()) std::memcpy(norms_.data(), bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::StatusOr<proto::CompressionPolicy> AccordionPolicy::Plan(
    const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices uniform, UniformOptions(window, reference_));
  SLUICE_ASSIGN_OR_RETURN(const Choices choices, Choose(window));
  proto::CompressionPolicy plan = MakePlan(
      window, choices.options,
      absl::StrCat(
          "accordion: light on ", choices.light, " of ", choices.eligible,
          " layers, whose gradient norm changes or is new; the uniform reference on the others"));
  plan.set_uniform_bytes(PlanBytes(window, uniform));
  return plan;
}

}  // namespace sluice
