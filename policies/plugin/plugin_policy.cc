#include "policies/plugin/plugin_policy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "policies/compression/plan.h"
#include "policies/plugin/policy_host.h"

namespace sluice {
namespace {

// dlopen looks up a bare name among the system's libraries.
std::string PathOf(const std::string& plugin) {
  return plugin.find('/') == std::string::npos ? "./" + plugin : plugin;
}

// What a plugin says is shown to people and written as JSON.
std::string Printable(absl::string_view text) {
  std::string printable(text);
  for (char& c : printable) {
    if (c < ' ' || c > '~') c = '?';
  }
  return printable;
}

// Empty when every layer has a choice that it may have.
std::string Nonsense(const proto::WindowStatistics& window, const proto::PolicyHostReply& reply) {
  if (reply.choices_size() != window.layers_size()) {
    return absl::StrCat("gave ", reply.choices_size(), " choices for ", window.layers_size(),
                        " layers");
  }
  for (int l = 0; l < window.layers_size(); ++l) {
    const proto::LayerStatistics& layer = window.layers(l);
    const int choice = reply.choices(l);
    if (choice == -1) return absl::StrCat("gave no choice for layer ", layer.name());
    if (choice < 0 || choice >= layer.options_size()) {
      return absl::StrCat("chose option ", choice, " for layer ", layer.name(), ", which has ",
                          layer.options_size());
    }
    if (!layer.eligible() && layer.options(choice).codec().kind() != proto::CODEC_RAW) {
      return absl::StrCat("chose to compress layer ", layer.name(), ", which must be raw");
    }
  }
  return "";
}

}  // namespace

PluginPolicy::PluginPolicy(const proto::Compression& config)
    : PluginPolicy(config, {"/proc/self/exe", kPolicyHostCommand}) {}

PluginPolicy::PluginPolicy(const proto::Compression& config, std::vector<std::string> host)
    : path_(PathOf(config.plugin())),
      config_(config.plugin_config()),
      timeout_(absl::Seconds(config.plugin_timeout_seconds())),
      reference_(UniformCodec(config)),
      host_command_(std::move(host)) {}

absl::Status PluginPolicy::StartHost() {
  SLUICE_ASSIGN_OR_RETURN(HostProcess host, HostProcess::Start(host_command_, path_));
  const auto loaded = host.AwaitLoaded(kStartTime);
  SLUICE_RETURN_IF_ERROR(loaded.status());
  proto::PolicyHostRequest create;
  create.set_config(config_);
  SLUICE_RETURN_IF_ERROR(host.Ask(create, timeout_, "in create()").status());
  name_ = Printable(loaded->text());
  host_ = std::move(host);
  return absl::OkStatus();
}

absl::Status PluginPolicy::Start() {
  const absl::Status status = StartHost();
  if (status.ok()) return status;
  return absl::FailedPreconditionError(absl::StrCat(
      "compression.plugin ", path_, " ", Printable(status.message()),
      ". Name a working plugin (docs/policy_plugins.md), or use another compression.policy"));
}

absl::StatusOr<proto::PolicyHostReply> PluginPolicy::AskHost(
    const proto::PolicyHostRequest& request) {
  if (!host_.has_value()) SLUICE_RETURN_IF_ERROR(StartHost());
  auto reply = host_->Ask(request, timeout_, "in plan()");
  if (!host_->alive()) host_.reset();
  return reply;
}

absl::StatusOr<proto::CompressionPolicy> PluginPolicy::Plan(const proto::WindowStatistics& window) {
  SLUICE_ASSIGN_OR_RETURN(const OptionIndices uniform, UniformOptions(window, reference_));
  if (failures_ >= kMostFailures) {
    return absl::UnavailableError(absl::StrCat("plugin ", path_, " gave no plan ", kMostFailures,
                                               " times in a row and is not asked any more"));
  }
  proto::PolicyHostRequest request;
  *request.mutable_window() = window;
  request.mutable_reference()->Assign(uniform.begin(), uniform.end());
  const auto reply = AskHost(request);
  const std::string wrong =
      reply.ok() ? Nonsense(window, *reply) : Printable(reply.status().message());
  if (!wrong.empty()) {
    ++failures_;
    return absl::UnavailableError(absl::StrCat("plugin ", path_, " ", wrong, " (failure ",
                                               failures_, " of ", kMostFailures, " in a row)"));
  }
  failures_ = 0;
  const OptionIndices choices(reply->choices().begin(), reply->choices().end());
  const std::string reason = Printable(reply->text());
  proto::CompressionPolicy plan =
      MakePlan(window, choices,
               absl::StrCat("plugin ", name_, ": ", reason.empty() ? "no reason given" : reason));
  plan.set_uniform_bytes(PlanBytes(window, uniform));
  return plan;
}

}  // namespace sluice
