#include "policies/offline/scenario.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "policies/compression/alpha_schedule.h"
#include "policies/compression/effective_step.h"

namespace sluice {
namespace {

// Bytes per second of one; 0 for a word that is no unit. tc(8), "PARAMETERS", "RATES".
double UnitOf(absl::string_view unit) {
  if (unit.empty()) return 1.0 / 8;
  static constexpr char kPrefixes[] = "kmgt";
  double factor = 1;
  const size_t prefix = absl::string_view(kPrefixes).find(unit.front());
  if (prefix != absl::string_view::npos) {
    unit.remove_prefix(1);
    const bool binary = !unit.empty() && unit.front() == 'i';
    if (binary) unit.remove_prefix(1);
    factor = std::pow(binary ? 1024 : 1000, prefix + 1);
  }
  return unit == "bit" ? factor / 8 : unit == "bps" ? factor : 0;
}

double SentShare(int world_size) { return 2.0 * (world_size - 1) / world_size; }

// Without recorded times: gradients come at an even pace, elements by elements.
void SpreadByElements(double backward_seconds, proto::WindowStatistics* window) {
  int buckets = 1;
  for (const auto& layer : window->layers()) buckets = std::max(buckets, layer.bucket() + 1);
  std::vector<double> elements(static_cast<size_t>(buckets));
  double total = 0;
  for (const auto& layer : window->layers()) {
    elements[static_cast<size_t>(layer.bucket())] += static_cast<double>(layer.elements());
    total += static_cast<double>(layer.elements());
  }
  double done = 0;
  proto::TimeStatistics& times = *window->mutable_times();
  times.clear_ready_seconds();
  for (const double count : elements) {
    done += count;
    times.add_ready_seconds(total > 0 ? backward_seconds * done / total : backward_seconds);
  }
  times.set_backward_seconds(backward_seconds);
}

}  // namespace

absl::StatusOr<Network> ParseNetwork(absl::string_view text) {
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(text.substr(0, 60)), "\": ", what,
                     ", expected a rate and a latency as in 1gbit,0.2ms or 100mbit"));
  };
  const size_t comma = text.find(',');
  const std::string rate = absl::AsciiStrToLower(text.substr(0, comma));
  size_t digits = 0;
  while (digits < rate.size() && (absl::ascii_isdigit(rate[digits]) || rate[digits] == '.')) {
    ++digits;
  }
  double number = 0;
  if (!absl::SimpleAtod(rate.substr(0, digits), &number)) return bad("the rate is no number");
  Network network;
  const double unit = UnitOf(absl::string_view(rate).substr(digits));
  if (unit == 0) return bad("the rate's unit is unknown");
  network.bytes_per_second = number * unit;
  if (!(network.bytes_per_second > 0) || !std::isfinite(network.bytes_per_second)) {
    return bad("the rate must be above 0");
  }
  if (comma == absl::string_view::npos) return network;
  absl::Duration latency;
  if (!absl::ParseDuration(std::string(text.substr(comma + 1)), &latency) ||
      latency < absl::ZeroDuration() || latency == absl::InfiniteDuration()) {
    return bad("the latency is no duration from 0");
  }
  network.latency_seconds = absl::ToDoubleSeconds(latency);
  return network;
}

absl::Status SetWorldSize(int world_size, proto::WindowStatistics* window) {
  const int recorded = window->world_size();
  if (recorded < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat("window ", window->window(),
                     recorded == 0 ? " does not say how many ranks it was recorded with"
                                   : " was recorded with one rank, which sends nothing",
                     ", so its bytes cannot be scaled to ", world_size, " ranks"));
  }
  const double ratio = SentShare(world_size) / SentShare(recorded);
  for (proto::LayerStatistics& layer : *window->mutable_layers()) {
    for (proto::OptionStatistics& option : *layer.mutable_options()) {
      option.set_wire_bytes(option.wire_bytes() * ratio);
    }
  }
  window->set_fixed_wire_bytes(window->fixed_wire_bytes() * (world_size - 1) / (recorded - 1));
  window->set_world_size(world_size);
  return absl::OkStatus();
}

absl::Status SetTimes(const std::optional<Network>& network,
                      const std::optional<double>& backward_seconds,
                      proto::WindowStatistics* window) {
  if (!network && !backward_seconds) return absl::OkStatus();
  const double recorded_backward = window->times().backward_seconds();
  const bool has_ready = window->times().ready_seconds_size() > 0 && recorded_backward > 0;
  if (!backward_seconds && !has_ready) {
    return absl::FailedPreconditionError(
        absl::StrCat("window ", window->window(), " has no times: say how long backward takes"));
  }
  if (!network && !(window->times().bytes_per_second() > 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat("window ", window->window(), " does not say how fast the network was"));
  }
  if (backward_seconds && has_ready) {
    const double ratio = *backward_seconds / recorded_backward;
    for (double& ready : *window->mutable_times()->mutable_ready_seconds()) ready *= ratio;
    window->mutable_times()->set_backward_seconds(*backward_seconds);
  } else if (backward_seconds) {
    SpreadByElements(*backward_seconds, window);
  }
  if (network) {
    window->mutable_times()->set_bytes_per_second(network->bytes_per_second);
    window->mutable_times()->set_latency_seconds(network->latency_seconds);
  }
  return absl::OkStatus();
}

absl::Status SetAlpha(const proto::Compression& config, proto::WindowStatistics* window) {
  if (config.alpha_schedule().empty()) {
    window->clear_alpha();
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(const AlphaSchedule schedule,
                          AlphaSchedule::Parse(config.alpha_schedule()));
  if (schedule.needs_total() && window->alpha() > 0) return absl::OkStatus();
  window->set_alpha(schedule.At(EffectiveStep(config, window->last_step()), 0));
  return absl::OkStatus();
}

}  // namespace sluice
