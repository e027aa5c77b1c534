#include "orchestrator/report/metrics_exporter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/thread_name.h"
#include "base/version.h"
#include "httplib.h"
#include "orchestrator/config/samples_per_step.h"
#include "policies/compression/codec_name.h"
#include "prometheus/client_metric.h"
#include "prometheus/histogram.h"
#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"

namespace sluice {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kMostLayers = 32;

ClientMetric WithLabels(ClientMetric metric, const Labels& labels) {
  for (const auto& [name, value] : labels) {
    ClientMetric::Label label;
    label.name = name;
    label.value = value;
    metric.label.push_back(std::move(label));
  }
  return metric;
}

class Families {
 public:
  void Counter(const char* name, const char* help, const Labels& labels, double value) {
    ClientMetric metric;
    metric.counter.value = value;
    Add(name, help, MetricType::Counter, WithLabels(std::move(metric), labels));
  }
  void Gauge(const char* name, const char* help, const Labels& labels, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    Add(name, help, MetricType::Gauge, WithLabels(std::move(metric), labels));
  }
  void Histogram(const char* name, const char* help, const Labels& labels,
                 const prometheus::Histogram& histogram) {
    Add(name, help, MetricType::Histogram, WithLabels(histogram.Collect(), labels));
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  void Add(const char* name, const char* help, MetricType type, ClientMetric metric) {
    if (families_.empty() || families_.back().name != name) {
      MetricFamily& family = families_.emplace_back();
      family.name = name;
      family.help = help;
      family.type = type;
    }
    families_.back().metric.push_back(std::move(metric));
  }

  std::vector<MetricFamily> families_;
};

prometheus::Histogram::BucketBoundaries Seconds(double least, int count) {
  prometheus::Histogram::BucketBoundaries bounds;
  for (int i = 0; i < count; ++i) bounds.push_back(least * std::pow(2, i));
  return bounds;
}

}  // namespace

class MetricsExporter::Series {
 public:
  explicit Series(const proto::JobConfig& job) : job(job) {}

  struct OfRank {
    Labels labels;
    absl::Time heard;
    bool heard_of = false;
    double resident_bytes = 0;
    double steps = 0, sent_bytes = 0, wait_seconds = 0, lag_seconds = 0;
    RankLag lag_before;
    bool stalled = false;
    std::map<int, double> bandwidth;  // by peer
  };

  std::vector<MetricFamily> Collect() const {
    const std::lock_guard<std::mutex> lock(mu);
    Families out;
    out.Gauge("sluice_build_info", "Version of the program.", {{"version", kVersion}}, 1);
    out.Gauge("sluice_job_info", "The job and its present generation.",
              {{"job", job.name()},
               {"generation", absl::StrCat(generation)},
               {"world_size", absl::StrCat(ranks.size())},
               {"policy", job.compression().policy()}},
              1);
    out.Gauge("sluice_phase_info", "The phase that goes on.", {{"phase", phase}}, 1);
    out.Gauge("sluice_test_accuracy_ratio", "At the last evaluation; 0 before.", {}, accuracy);
    out.Gauge("sluice_test_loss", "At the last evaluation; 0 before.", {}, test_loss);
    out.Gauge("sluice_generation", "Number of the membership.", {},
              static_cast<double>(generation));
    out.Gauge("sluice_world_size", "Ranks of the present generation.", {},
              static_cast<double>(ranks.size()));
    out.Histogram("sluice_step_duration_seconds", "Of the slowest rank.", {}, step_seconds);
    out.Counter("sluice_samples_total", "Samples trained on.", {}, samples);
    out.Gauge("sluice_loss", "Mean over the last step's global batch.", {}, loss);
    out.Counter("sluice_skipped_steps_total", "Steps with values that were not finite.", {},
                skipped_steps);
    out.Counter("sluice_uncompressed_bytes_total",
                "What a rank would have sent without compression, mean over ranks.", {}, raw_bytes);
    out.Gauge("sluice_compression_ratio", "Raw bytes over sent bytes in the last step.", {},
              compression_ratio);
    out.Gauge("sluice_exposed_seconds", "Waiting for gradients in the last step, mean over ranks.",
              {}, exposed);
    out.Counter("sluice_plan_changes_total", "Plans published.", {}, plans);
    out.Histogram("sluice_plan_solve_duration_seconds", "Of finding a plan.", {}, solve_seconds);
    for (const auto& [layer, error] : errors) {
      out.Gauge("sluice_compression_relative_error_ratio",
                "Norm of what encoding loses over the gradient's norm; the largest layers.",
                {{"layer", layer}, {"compressor", codecs.at(layer)}}, error);
    }
    out.Counter("sluice_stalls_total", "Ranks that were silent or stalled.", {}, stalls);
    out.Counter("sluice_stalled_seconds_total", "Of stalls that are over.", {}, stalled_seconds);
    const auto each = [&](auto add) {
      for (const OfRank& rank : ranks) add(rank);
    };
    each([&](const OfRank& r) {
      out.Counter("sluice_step_total", "Steps finished.", r.labels, r.steps);
    });
    each([&](const OfRank& r) {
      out.Counter("sluice_sent_bytes_total", "Gradient bytes sent.", r.labels, r.sent_bytes);
    });
    each([&](const OfRank& r) {
      out.Counter("sluice_collective_wait_seconds_total", "Waiting for the collective.", r.labels,
                  r.wait_seconds);
    });
    each([&](const OfRank& r) {
      out.Gauge("sluice_arrival_lag_seconds",
                "How much later than the others it comes to the collective, smoothed.", r.labels,
                r.lag_seconds);
    });
    each([&](const OfRank& r) {
      if (!r.heard_of) return;
      out.Gauge("sluice_heartbeat_age_seconds", "Since its last heartbeat.", r.labels,
                absl::ToDoubleSeconds(absl::Now() - r.heard));
    });
    each([&](const OfRank& r) {
      if (!r.heard_of) return;
      out.Gauge("sluice_resident_memory_bytes", "Of its process.", r.labels, r.resident_bytes);
    });
    each([&](const OfRank& r) {
      out.Gauge("sluice_stalled", "1: silent or stalled now.", r.labels, r.stalled ? 1 : 0);
    });
    each([&](const OfRank& r) {
      for (const auto& [peer, rate] : r.bandwidth) {
        Labels labels = r.labels;
        labels.emplace_back("peer", absl::StrCat(peer));
        out.Gauge("sluice_link_bandwidth_bytes_per_second", "Measured, from the peer.", labels,
                  rate);
      }
    });
    return out.Take();
  }

  OfRank* Find(int rank) {
    return rank >= 0 && static_cast<size_t>(rank) < ranks.size() ? &ranks[static_cast<size_t>(rank)]
                                                                 : nullptr;
  }

  const proto::JobConfig job;
  mutable std::mutex mu;  // the coordinator's thread and the server's
  int64_t generation = 0;
  std::vector<OfRank> ranks;
  std::string phase;
  double accuracy = 0, test_loss = 0;
  double samples = 0, loss = 0, skipped_steps = 0, raw_bytes = 0, raw_bytes_per_step = 0;
  double compression_ratio = 1, exposed = 0, plans = 0, stalls = 0, stalled_seconds = 0;
  prometheus::Histogram step_seconds{Seconds(0.001, 18)};
  prometheus::Histogram solve_seconds{Seconds(0.0001, 16)};
  std::map<std::string, std::string> codecs;  // by layer, of the plan in force
  std::map<std::string, double> errors;       // by layer
};

// One connection at a time is plenty for who scrapes; its thread is not the coordinator's.
class MetricsExporter::Server {
 public:
  explicit Server(const Series& series) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(1); };  // httplib deletes it
    // Its default lets two processes have the same port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/metrics", [&series](const httplib::Request&, httplib::Response& response) {
      response.set_content(prometheus::TextSerializer().Serialize(series.Collect()),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
  }
  ~Server() {
    if (!thread_.joinable()) return;
    // Before it has begun to listen a stop would have no effect.
    while (!server_.is_running()) std::this_thread::yield();
    server_.stop();
    thread_.join();
  }

  absl::Status Listen(uint16_t port) {
    constexpr char kLoopback[] = "127.0.0.1";
    const int got = port == 0                               ? server_.bind_to_any_port(kLoopback)
                    : server_.bind_to_port(kLoopback, port) ? port
                                                            : -1;
    if (got < 0) {
      return absl::UnavailableError(
          absl::StrCat("metrics: cannot listen on ", kLoopback, ":", port,
                       ": is it in use? Choose another report.metrics_port, 0 for any free one, "
                       "or -1 for none"));
    }
    port_ = static_cast<uint16_t>(got);
    thread_ = std::thread([this] {
      SetThreadName("sluice-metrics");
      server_.listen_after_bind();
    });
    return absl::OkStatus();
  }

  uint16_t port() const { return port_; }

 private:
  httplib::Server server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

MetricsExporter::MetricsExporter(std::unique_ptr<Series> series)
    : series_(std::move(series)), server_(std::make_unique<Server>(*series_)) {}
MetricsExporter::~MetricsExporter() = default;

absl::StatusOr<std::unique_ptr<MetricsExporter>> MetricsExporter::Create(
    const proto::JobConfig& job, uint16_t port) {
  std::unique_ptr<MetricsExporter> exporter(new MetricsExporter(std::make_unique<Series>(job)));
  SLUICE_RETURN_IF_ERROR(exporter->server_->Listen(port));
  return exporter;
}

uint16_t MetricsExporter::port() const { return server_->port(); }

void MetricsExporter::OnStarted(const proto::StartGeneration& start, const ModelSize& size) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  series_->generation = start.envelope().generation();
  series_->raw_bytes_per_step = size.raw_bytes;
  series_->ranks.clear();
  for (int r = 0; r < start.world_size(); ++r) {
    Series::OfRank& rank = series_->ranks.emplace_back();
    rank.labels = {{"rank", absl::StrCat(r)},
                   {"host", r < start.processes_size() ? start.processes(r).host() : ""}};
  }
}

void MetricsExporter::OnPhase(const PhaseOutcome& phase, int64_t total_steps) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  series_->phase = phase.name;
}

void MetricsExporter::OnEvaluation(const PhaseOutcome& phase) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  series_->accuracy = Accuracy(phase.evaluation);
  series_->test_loss = MeanLoss(phase.evaluation);
}

void MetricsExporter::OnSteps(const std::vector<ClusterStep>& steps) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  for (const ClusterStep& step : steps) {
    series_->step_seconds.Observe(step.step_seconds);
    series_->samples += static_cast<double>(SamplesPerStep(series_->job));
    series_->loss = step.loss;
    series_->exposed = step.exposed_seconds;
    series_->raw_bytes += series_->raw_bytes_per_step;
    series_->skipped_steps += step.skipped ? 1 : 0;
    if (step.sent_bytes > 0) {
      series_->compression_ratio = series_->raw_bytes_per_step / step.sent_bytes;
    }
  }
}

void MetricsExporter::OnReport(const proto::StepReport& report) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  Series::OfRank* const rank = series_->Find(report.rank());
  if (rank == nullptr) return;
  for (const proto::StepRecord& step : report.steps()) {
    rank->steps += 1;
    rank->sent_bytes += static_cast<double>(step.sent_bytes());
    rank->wait_seconds += step.exposed_seconds();
  }
  for (const proto::LinkRecord& link : report.links()) {
    rank->bandwidth[link.peer()] = link.bytes_per_second();
  }
}

void MetricsExporter::OnPolicy(const proto::CompressionPolicy& policy) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  series_->plans += 1;
  series_->solve_seconds.Observe(policy.solve_seconds());
  series_->codecs.clear();
  series_->errors.clear();
  for (const proto::LayerChoice& layer : policy.layers()) {
    series_->codecs[layer.name()] = CodecName(layer.codec());
  }
}

void MetricsExporter::OnWindow(const proto::WindowStatistics& window) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  std::vector<const proto::LayerStatistics*> layers;
  for (const proto::LayerStatistics& layer : window.layers()) layers.push_back(&layer);
  std::stable_sort(layers.begin(), layers.end(),
                   [](const auto* a, const auto* b) { return a->elements() > b->elements(); });
  if (layers.size() > kMostLayers) layers.resize(kMostLayers);
  for (const proto::LayerStatistics* layer : layers) {
    const auto codec = series_->codecs.find(layer->name());
    if (codec == series_->codecs.end() || !(layer->squared_norm() > 0)) continue;
    for (const proto::OptionStatistics& option : layer->options()) {
      if (CodecName(option.codec()) != codec->second) continue;
      series_->errors[layer->name()] = std::sqrt(option.squared_error() / layer->squared_norm());
    }
  }
}

void MetricsExporter::OnHeartbeat(const proto::Heartbeat& heartbeat) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  Series::OfRank* const rank = series_->Find(heartbeat.rank());
  if (rank == nullptr) return;
  rank->heard = absl::Now();
  rank->heard_of = true;
  rank->resident_bytes = static_cast<double>(heartbeat.rss_bytes());
}

void MetricsExporter::OnLags(const std::vector<RankLag>& lags) {
  const std::lock_guard<std::mutex> lock(series_->mu);
  for (const RankLag& lag : lags) {
    Series::OfRank* const rank = series_->Find(lag.rank);
    if (rank == nullptr || lag.steps <= rank->lag_before.steps) continue;
    const auto steps = static_cast<double>(lag.steps - rank->lag_before.steps);
    const double recent = (lag.lag_seconds - rank->lag_before.lag_seconds) / steps;
    rank->lag_seconds += (1 - std::pow(0.9, steps)) * (recent - rank->lag_seconds);
    rank->lag_before = lag;
  }
}

void MetricsExporter::OnFinding(const Finding& finding) {
  if (finding.kind == Finding::Kind::kSlow) return;  // sluice_arrival_lag_seconds says it
  const std::lock_guard<std::mutex> lock(series_->mu);
  if (finding.state == Finding::State::kFound) series_->stalls += 1;
  const bool over = finding.state == Finding::State::kResolved;
  if (over) series_->stalled_seconds += absl::ToDoubleSeconds(finding.lasted);
  if (Series::OfRank* const rank = series_->Find(finding.rank)) rank->stalled = !over;
}

}  // namespace sluice
