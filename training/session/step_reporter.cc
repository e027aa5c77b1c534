#include "training/session/step_reporter.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/time/clock.h"

namespace sluice {

StepReporter::StepReporter(int64_t every_steps, std::function<void(proto::StepReport)> send)
    : every_steps_(every_steps), send_(std::move(send)) {}

void StepReporter::StartGeneration(Rank rank, int world_size) {
  report_.Clear();
  report_.set_rank(static_cast<int32_t>(rank.value));
  world_size_ = world_size;
}

void StepReporter::Add(const StepOutcome& outcome, const Reducer& reducer, bool last) {
  proto::StepRecord& record = *report_.add_steps();
  record.set_step(outcome.step.value);
  record.set_loss(outcome.loss);
  record.set_step_seconds(absl::ToDoubleSeconds(outcome.duration));
  record.set_exposed_seconds(absl::ToDoubleSeconds(outcome.reduction.exposed));
  record.set_communication_seconds(absl::ToDoubleSeconds(outcome.reduction.communication));
  record.set_sent_bytes(outcome.reduction.sent_bytes);
  record.set_policy_version(outcome.reduction.plan_version);
  record.set_skipped(outcome.skipped);
  if (outcome.has_checksum) record.set_parameter_checksum(outcome.checksum);
  AddTimings(reducer.bucket_times());
  const bool long_ago = absl::Now() - last_sent_ > kLongest;
  if (report_.steps_size() >= every_steps_ || last || long_ago) Flush(reducer);
}

// Sums; Flush makes them means.
void StepReporter::AddTimings(absl::Span<const BucketTimes> buckets) {
  const auto add = [](absl::Duration time, double sum) {
    return sum + absl::ToDoubleSeconds(time);
  };
  for (size_t b = 0; b < buckets.size(); ++b) {
    if (report_.buckets_size() <= static_cast<int>(b)) report_.add_buckets();
    proto::BucketTiming& sum = *report_.mutable_buckets(static_cast<int>(b));
    sum.set_ready_seconds(add(buckets[b].ready, sum.ready_seconds()));
    sum.set_started_seconds(add(buckets[b].started, sum.started_seconds()));
    sum.set_received_seconds(add(buckets[b].received, sum.received_seconds()));
    sum.set_reduced_seconds(add(buckets[b].reduced, sum.reduced_seconds()));
    sum.set_encode_seconds(add(buckets[b].encode, sum.encode_seconds()));
    sum.set_decode_seconds(add(buckets[b].decode, sum.decode_seconds()));
    sum.set_exposed_seconds(add(buckets[b].exposed, sum.exposed_seconds()));
  }
}

void StepReporter::Flush(const Reducer& reducer) {
  if (report_.steps_size() == 0) return;
  const double steps = report_.steps_size();
  for (proto::BucketTiming& mean : *report_.mutable_buckets()) {
    mean.set_ready_seconds(mean.ready_seconds() / steps);
    mean.set_started_seconds(mean.started_seconds() / steps);
    mean.set_received_seconds(mean.received_seconds() / steps);
    mean.set_reduced_seconds(mean.reduced_seconds() / steps);
    mean.set_encode_seconds(mean.encode_seconds() / steps);
    mean.set_decode_seconds(mean.decode_seconds() / steps);
    mean.set_exposed_seconds(mean.exposed_seconds() / steps);
  }
  for (int peer = 0; peer < world_size_; ++peer) {
    const std::optional<LinkEstimate> link = reducer.link(Rank(peer));
    if (!link) continue;
    proto::LinkRecord& record = *report_.add_links();
    record.set_peer(peer);
    record.set_latency_seconds(link->latency_seconds);
    record.set_bytes_per_second(link->bytes_per_second);
    record.set_observations(link->observations);
  }
  send_(report_);
  last_sent_ = absl::Now();
  report_.clear_steps();
  report_.clear_buckets();
  report_.clear_links();
}

}  // namespace sluice
