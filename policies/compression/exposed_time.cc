#include "policies/compression/exposed_time.h"

#include <algorithm>
#include <cmath>

namespace sluice {

bool KnowsTimes(const proto::WindowStatistics& window) {
  const proto::TimeStatistics& times = window.times();
  const auto in_buckets = [&](const proto::LayerStatistics& layer) {
    return layer.bucket() >= 0 && layer.bucket() < times.ready_seconds_size();
  };
  return std::isfinite(times.bytes_per_second()) && times.bytes_per_second() > 0 &&
         std::isfinite(times.backward_seconds()) && std::isfinite(times.latency_seconds()) &&
         std::all_of(times.ready_seconds().begin(), times.ready_seconds().end(),
                     [](double seconds) { return std::isfinite(seconds); }) &&
         std::all_of(window.layers().begin(), window.layers().end(), in_buckets);
}

double OptionSeconds(const proto::WindowStatistics& window, const proto::OptionStatistics& option) {
  return option.wire_bytes() / window.times().bytes_per_second() + option.codec_seconds();
}

PlanLoad LoadOf(const proto::WindowStatistics& window, const OptionIndices& options) {
  const proto::TimeStatistics& times = window.times();
  const int buckets = times.ready_seconds_size();
  const double headers = window.fixed_wire_bytes() / std::max(1, buckets);
  PlanLoad load;
  load.bucket_seconds.assign(static_cast<size_t>(buckets), headers / times.bytes_per_second());
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    const proto::OptionStatistics& option = layer.options(options[l]);
    load.bucket_seconds[static_cast<size_t>(layer.bucket())] += OptionSeconds(window, option);
    if (option.codec().kind() == proto::CODEC_LOW_RANK) load.steps = 4;
  }
  return load;
}

ExposedTime PredictExposed(const proto::WindowStatistics& window, const OptionIndices& options) {
  const proto::TimeStatistics& times = window.times();
  const PlanLoad load = LoadOf(window, options);
  ExposedTime time;
  double end = 0;
  for (int b = times.ready_seconds_size() - 1; b >= 0; --b) {
    time.communication_seconds += load.bucket_seconds[static_cast<size_t>(b)];
    end = std::max(end, times.ready_seconds(b) + time.communication_seconds);
  }
  end += load.steps * times.latency_seconds();
  time.exposed_seconds = std::max(0.0, end - times.backward_seconds());
  return time;
}

}  // namespace sluice
