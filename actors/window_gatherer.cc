#include "actors/window_gatherer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "policies/compression/codec_choice.h"

namespace sluice {
namespace {

// As if the reference, and what is always there, made no error: it stays, and costs nothing of the budget.
proto::LayerStatistics ReferenceAlone(proto::LayerStatistics layer,
                                      const proto::CodecChoice& reference) {
  auto& options = *layer.mutable_options();
  if (!layer.eligible()) return layer;
  options.erase(std::remove_if(options.begin(), options.end(),
                               [&](const proto::OptionStatistics& option) {
                                 return option.codec().kind() != proto::CODEC_RAW &&
                                        !SameCodec(option.codec(), reference);
                               }),
                options.end());
  return layer;
}

}  // namespace

WindowGatherer::WindowGatherer(proto::WindowStatistics sizes, proto::CodecChoice reference,
                               int profilers)
    : sizes_(std::move(sizes)),
      reference_(std::move(reference)),
      measured_(static_cast<size_t>(sizes_.layers_size())),
      measured_in_(measured_.size(), -1),
      sources_(static_cast<size_t>(profilers)) {
  for (int l = 0; l < sizes_.layers_size(); ++l) layers_[sizes_.layers(l).name()] = l;
}

std::vector<proto::WindowStatistics> WindowGatherer::OnPart(int profiler,
                                                            const proto::WindowStatistics& part,
                                                            absl::Time now) {
  const int64_t number = part.window();
  Source& source = sources_[static_cast<size_t>(profiler)];
  source.newest = std::max(source.newest, number);
  for (const proto::LayerStatistics& layer : part.layers()) {
    const auto known = layers_.find(layer.name());
    if (known == layers_.end() || measured_in_[known->second] > number) continue;
    measured_[known->second] = layer;
    measured_in_[known->second] = number;
  }
  if (number > given_out_) {
    source.late = false;
    Pending& pending = pending_[number];
    if (pending.here.empty()) {
      pending.here.resize(sources_.size());
      pending.since = now;
    }
    pending.here[static_cast<size_t>(profiler)] = true;
    pending.window.set_window(number);
    pending.window.set_last_step(part.last_step());
    pending.window.set_profile_seconds(
        std::max(pending.window.profile_seconds(), part.profile_seconds()));
  }
  return TakeComplete();
}

std::vector<proto::WindowStatistics> WindowGatherer::OnLost(int profiler) {
  sources_[static_cast<size_t>(profiler)].lost = true;
  return TakeComplete();
}

std::vector<proto::WindowStatistics> WindowGatherer::OnTick(absl::Time now) {
  for (const auto& [number, pending] : pending_) {
    if (now - pending.since < kPatience) continue;
    for (size_t p = 0; p < sources_.size(); ++p) {
      Source& source = sources_[p];
      if (pending.here[p] || source.lost || source.late || source.newest > number) continue;
      source.late = true;
      SLUICE_LOG(Warning, "profiler ", p, " is late with window ", number,
                 ": its layers are planned by what is known of them, and it is not waited for "
                 "until it is in time again");
    }
  }
  return TakeComplete();
}

bool WindowGatherer::Complete(int64_t number, const Pending& pending) const {
  for (size_t p = 0; p < sources_.size(); ++p) {
    const Source& source = sources_[p];
    // One that is further on has passed over this window.
    if (!pending.here[p] && !source.lost && !source.late && source.newest <= number) return false;
  }
  return true;
}

std::vector<proto::WindowStatistics> WindowGatherer::TakeComplete() {
  std::vector<proto::WindowStatistics> taken;
  while (!pending_.empty() && Complete(pending_.begin()->first, pending_.begin()->second)) {
    taken.push_back(Take(pending_.begin()->second));
    given_out_ = pending_.begin()->first;
    pending_.erase(pending_.begin());
  }
  return taken;
}

proto::WindowStatistics WindowGatherer::Take(Pending& pending) {
  proto::WindowStatistics window = sizes_;
  window.MergeFrom(pending.window);
  for (int l = 0; l < window.layers_size(); ++l) {
    const auto index = static_cast<size_t>(l);
    *window.mutable_layers(l) =
        measured_[index].value_or(ReferenceAlone(sizes_.layers(l), reference_));
    // What was lost then says nothing of the plan that is in force now.
    if (measured_in_[index] != window.window())
      window.mutable_layers(l)->clear_lost_squared_error();
  }
  return window;
}

}  // namespace sluice
