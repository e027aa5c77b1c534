#include "actors/step_times.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "policies/compression/exposed_time.h"
#include "policies/compression/plan.h"

namespace sluice {
namespace {

// Seconds of a step in which at least one bucket is in flight.
double InFlight(const proto::StepReport& report) {
  std::vector<std::pair<double, double>> spans;
  for (const proto::BucketTiming& bucket : report.buckets()) {
    spans.emplace_back(bucket.started_seconds(), bucket.received_seconds());
  }
  std::sort(spans.begin(), spans.end());
  double sum = 0, end = 0;
  for (const auto& [from, to] : spans) {
    sum += std::max(0.0, to - std::max(from, end));
    end = std::max(end, to);
  }
  return sum;
}

// That `current` chose; raw where it has no layers. nullopt when they are not known.
std::optional<OptionIndices> OptionsInForce(const proto::CompressionPolicy& current,
                                            const proto::WindowStatistics& window) {
  if (current.layers_size() > 0) return OptionsOf(window, current);
  auto raw = RawOptions(window);
  return raw.ok() ? std::make_optional(*std::move(raw)) : std::nullopt;
}

double CodecSeconds(const proto::WindowStatistics& window, const OptionIndices& options) {
  double seconds = 0;
  for (int l = 0; l < window.layers_size(); ++l) {
    seconds += window.layers(l).options(options[l]).codec_seconds();
  }
  return seconds;
}

// Sets the window's bandwidth, in [least, most], such that `seconds`, which falls with the bandwidth, is `expected`, or as near
// as can be.
template <class Seconds>
void ExplainingBandwidth(proto::WindowStatistics& window, double least, double most,
                         double expected, Seconds seconds) {
  constexpr int kHalvings = 40;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = std::sqrt(least * most);
    window.mutable_times()->set_bytes_per_second(middle);
    (seconds() > expected ? least : most) = middle;
  }
  window.mutable_times()->set_bytes_per_second(most);
}

}  // namespace

void StepTimes::Add(const proto::StepReport& report) {
  if (report.buckets().empty() || report.steps().empty()) return;
  const bool raw = std::all_of(report.steps().begin(), report.steps().end(),
                               [](const auto& step) { return step.policy_version() == 0; });
  OfRank& rank = (raw ? raw_ : ranks_)[report.rank()];
  ++rank.reports;
  rank.ready.resize(static_cast<size_t>(report.buckets_size()));
  for (int b = 0; b < report.buckets_size(); ++b) {
    rank.ready[static_cast<size_t>(b)] += report.buckets(b).ready_seconds();
    rank.codec += report.buckets(b).encode_seconds() + report.buckets(b).decode_seconds();
  }
  rank.in_flight += InFlight(report);
  double sent = 0;
  double exposed = 0;
  for (const proto::StepRecord& step : report.steps()) {
    sent += static_cast<double>(step.sent_bytes());
    exposed += step.exposed_seconds();
  }
  rank.sent_bytes += sent / report.steps_size();
  rank.exposed += exposed / report.steps_size();
  for (const proto::LinkRecord& link : report.links()) {
    latency_seconds_ = std::max(latency_seconds_, link.latency_seconds());
    link_bytes_per_second_ = std::max(link_bytes_per_second_, link.bytes_per_second());
  }
}

double StepTimes::LeastExposed(const Ranks& ranks) {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [number, rank] : ranks) least = std::min(least, rank.exposed / rank.reports);
  return least;
}

double StepTimes::Carried(const Ranks& ranks) {
  double carried = 0;
  for (const auto& [number, rank] : ranks) {
    if (rank.in_flight > 0) carried = std::max(carried, rank.sent_bytes / rank.in_flight);
  }
  return carried;
}

void StepTimes::MoveTo(const proto::CompressionPolicy& current, proto::WindowStatistics& window) {
  // A job that never left raw has only those steps.
  const bool only_raw = ranks_.empty();
  if (only_raw) ranks_.swap(raw_);
  if (ranks_.empty()) return;
  proto::TimeStatistics& times = *window.mutable_times();
  times.Clear();
  double codec = 0;
  for (const auto& [number, rank] : ranks_) {
    for (size_t b = 0; b < rank.ready.size(); ++b) {
      if (static_cast<int>(b) == times.ready_seconds_size()) times.add_ready_seconds(0);
      const double mean = rank.ready[b] / rank.reports;
      times.set_ready_seconds(static_cast<int>(b),
                              std::max(times.ready_seconds(static_cast<int>(b)), mean));
    }
    codec = std::max(codec, rank.codec / rank.reports);
  }
  for (double ready : times.ready_seconds()) {
    times.set_backward_seconds(std::max(times.backward_seconds(), ready));
  }
  times.set_latency_seconds(latency_seconds_);

  const std::optional<OptionIndices> in_force =
      OptionsInForce(only_raw ? proto::CompressionPolicy() : current, window);
  const double predicted = in_force ? CodecSeconds(window, *in_force) : 0;
  if (predicted > 0 && codec > 0) {
    for (proto::LayerStatistics& layer : *window.mutable_layers()) {
      for (proto::OptionStatistics& option : *layer.mutable_options()) {
        option.set_codec_seconds(option.codec_seconds() * codec / predicted);
      }
    }
  }

  const double least = std::max(Carried(ranks_), Carried(raw_));
  const double most =
      std::max(least, bytes_per_second_ > 0 ? kGrowth * bytes_per_second_ : link_bytes_per_second_);
  times.set_bytes_per_second(most);
  if (in_force && least > 0 && KnowsTimes(window)) {
    const auto exposed = [&](const OptionIndices& options) {
      return PredictExposed(window, options).exposed_seconds;
    };
    const double measured = LeastExposed(ranks_);
    const auto raw = RawOptions(window);
    if (!raw_.empty() && raw.ok()) {
      ExplainingBandwidth(window, least, most, LeastExposed(raw_) - measured,
                          [&] { return exposed(*raw) - exposed(*in_force); });
      overhead_seconds_ = std::max(0.0, measured - exposed(*in_force));
    } else {
      ExplainingBandwidth(window, least, most, measured - overhead_seconds_,
                          [&] { return exposed(*in_force); });
    }
  }
  StepTimes next;
  next.bytes_per_second_ = times.bytes_per_second();
  next.overhead_seconds_ = overhead_seconds_;
  *this = std::move(next);
}

}  // namespace sluice
