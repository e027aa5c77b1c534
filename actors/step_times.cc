#include "actors/step_times.h"

#include <algorithm>
#include <optional>

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

// Of the options that `current` chose; raw where it has no layers. 0 when they are not known.
double CodecSeconds(const proto::CompressionPolicy& current,
                    const proto::WindowStatistics& window) {
  std::optional<OptionIndices> options;
  if (current.layers_size() == 0) {
    const auto raw = RawOptions(window);
    if (raw.ok()) options = *raw;
  } else {
    options = OptionsOf(window, current);
  }
  double seconds = 0;
  for (int l = 0; options && l < window.layers_size(); ++l) {
    seconds += window.layers(l).options((*options)[l]).codec_seconds();
  }
  return seconds;
}

}  // namespace

void StepTimes::Add(const proto::StepReport& report) {
  if (report.buckets().empty() || report.steps().empty()) return;
  OfRank& rank = ranks_[report.rank()];
  ++rank.reports;
  rank.ready.resize(static_cast<size_t>(report.buckets_size()));
  for (int b = 0; b < report.buckets_size(); ++b) {
    rank.ready[static_cast<size_t>(b)] += report.buckets(b).ready_seconds();
    rank.codec += report.buckets(b).encode_seconds() + report.buckets(b).decode_seconds();
  }
  rank.in_flight += InFlight(report);
  double sent = 0;
  for (const proto::StepRecord& step : report.steps()) sent += static_cast<double>(step.sent_bytes());
  rank.sent_bytes += sent / report.steps_size();
  for (const proto::LinkRecord& link : report.links()) {
    latency_seconds_ = std::max(latency_seconds_, link.latency_seconds());
    link_bytes_per_second_ = std::max(link_bytes_per_second_, link.bytes_per_second());
  }
}

void StepTimes::MoveTo(const proto::CompressionPolicy& current, proto::WindowStatistics& window) {
  if (ranks_.empty()) return;
  proto::TimeStatistics& times = *window.mutable_times();
  times.Clear();
  double carried = 0, codec = 0;
  for (const auto& [number, rank] : ranks_) {
    for (size_t b = 0; b < rank.ready.size(); ++b) {
      if (static_cast<int>(b) == times.ready_seconds_size()) times.add_ready_seconds(0);
      const double mean = rank.ready[b] / rank.reports;
      times.set_ready_seconds(static_cast<int>(b),
                              std::max(times.ready_seconds(static_cast<int>(b)), mean));
    }
    if (rank.in_flight > 0) carried = std::max(carried, rank.sent_bytes / rank.in_flight);
    codec = std::max(codec, rank.codec / rank.reports);
  }
  for (double ready : times.ready_seconds()) {
    times.set_backward_seconds(std::max(times.backward_seconds(), ready));
  }
  times.set_latency_seconds(latency_seconds_);
  times.set_bytes_per_second(std::max(carried, link_bytes_per_second_));

  const double predicted = CodecSeconds(current, window);
  if (predicted > 0 && codec > 0) {
    for (proto::LayerStatistics& layer : *window.mutable_layers()) {
      for (proto::OptionStatistics& option : *layer.mutable_options()) {
        option.set_codec_seconds(option.codec_seconds() * codec / predicted);
      }
    }
  }
  *this = StepTimes();
}

}  // namespace sluice
