#include "policies/plugin/policy_host.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/prctl.h>

#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/exit_codes.h"
#include "base/status_macros.h"
#include "policies/plugin/host_channel.h"
#include "policies/plugin/policy_host.pb.h"
#include "policies/plugin/sluice_policy.h"

namespace sluice {
namespace {

// Kinds are numbered alike.
static_assert(int{SLUICE_CODEC_MAXMIN} == int{proto::CODEC_MAXMIN});
static_assert(int{SLUICE_CODEC_DROP} == int{proto::CODEC_DROP});
static_assert(int{SLUICE_CODEC_TOP_K} == int{proto::CODEC_TOP_K});
static_assert(int{SLUICE_CODEC_LOW_RANK} == int{proto::CODEC_LOW_RANK});

constexpr char kSymbol[] = "sluice_policy_plugin";

/// What a plugin may say at most, with its end.
using Text = std::array<char, 512>;

std::string TextOf(Text& text) {
  text.back() = '\0';
  return text.data();
}

// A request as the plugin sees it. Points into itself and into the request.
class WindowView {
 public:
  explicit WindowView(const proto::PolicyHostRequest& request) {
    const proto::WindowStatistics& window = request.window();
    size_t options = 0;
    for (const proto::LayerStatistics& layer : window.layers()) options += layer.options_size();
    // Nothing below may move what is pointed to.
    codecs_.reserve(options);
    options_.reserve(options);
    option_pointers_.reserve(options);
    layers_.reserve(window.layers_size());
    for (int l = 0; l < window.layers_size(); ++l) AddLayer(window.layers(l), request.reference(l));
    for (const SluiceLayer& layer : layers_) layer_pointers_.push_back(&layer);

    const proto::TimeStatistics& times = window.times();
    window_.struct_size = sizeof(window_);
    window_.number = window.window();
    window_.last_step = window.last_step();
    window_.world_size = window.world_size();
    window_.fixed_wire_bytes = window.fixed_wire_bytes();
    window_.layers = layer_pointers_.data();
    window_.layer_count = layer_pointers_.size();
    window_.bucket_ready_seconds =
        times.ready_seconds().empty() ? nullptr : times.ready_seconds().data();
    window_.bucket_count = static_cast<size_t>(times.ready_seconds_size());
    window_.backward_seconds = times.backward_seconds();
    window_.latency_seconds = times.latency_seconds();
    window_.bytes_per_second = times.bytes_per_second();
  }
  const SluiceWindow& window() const { return window_; }

 private:
  void AddLayer(const proto::LayerStatistics& from, int32_t reference) {
    const size_t first = option_pointers_.size();
    for (const proto::OptionStatistics& option : from.options()) {
      const proto::CodecChoice& codec = option.codec();
      codecs_.push_back({sizeof(SluiceCodec), codec.kind(), codec.bits(), codec.bucket_size(),
                         codec.stochastic(), codec.density_ppm(), codec.exact(), codec.rank()});
      options_.push_back({sizeof(SluiceOption), &codecs_.back(), option.squared_error(),
                          option.wire_bytes(), option.codec_seconds()});
      option_pointers_.push_back(&options_.back());
    }
    SluiceLayer& layer = layers_.emplace_back();
    layer.struct_size = sizeof(layer);
    layer.name = from.name().c_str();
    layer.elements = from.elements();
    layer.shape = from.shape().empty() ? nullptr : from.shape().data();
    layer.dimensions = static_cast<size_t>(from.shape_size());
    layer.eligible = from.eligible();
    layer.bucket = from.bucket();
    layer.reference = reference;
    layer.squared_norm = from.squared_norm();
    layer.options = option_pointers_.data() + first;
    layer.option_count = option_pointers_.size() - first;
  }

  std::vector<SluiceCodec> codecs_;
  std::vector<SluiceOption> options_;
  std::vector<const SluiceOption*> option_pointers_;
  std::vector<SluiceLayer> layers_;
  std::vector<const SluiceLayer*> layer_pointers_;
  SluiceWindow window_ = {};
};

absl::StatusOr<const SluicePolicyPlugin*> Load(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return absl::NotFoundError(absl::StrCat("cannot be loaded: ", dlerror()));
  const auto entry = reinterpret_cast<decltype(&sluice_policy_plugin)>(dlsym(library, kSymbol));
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("is no policy plugin: it does not export ", kSymbol));
  }
  const SluicePolicyPlugin* const plugin = entry();
  if (plugin == nullptr) return absl::InvalidArgumentError(absl::StrCat(kSymbol, " returned NULL"));
  if (plugin->abi_version != SLUICE_POLICY_ABI_VERSION) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has version ", plugin->abi_version, " of the plugin interface, expected ",
        SLUICE_POLICY_ABI_VERSION, ": build it against this Sluice's sluice_policy.h"));
  }
  if (plugin->struct_size < sizeof(SluicePolicyPlugin) || plugin->name == nullptr ||
      plugin->create == nullptr || plugin->plan == nullptr || plugin->destroy == nullptr) {
    return absl::InvalidArgumentError(
        "has a table that is too short or lacks its name or a function");
  }
  return plugin;
}

proto::PolicyHostReply Ask(const SluicePolicyPlugin& plugin, void* state,
                           const proto::PolicyHostRequest& request) {
  const WindowView view(request);
  std::vector<int32_t> choices(view.window().layer_count, -1);
  Text reason = {};
  proto::PolicyHostReply reply;
  const int32_t code =
      plugin.plan(state, &view.window(), choices.data(), reason.data(), reason.size());
  if (code == 0) {
    reply.set_text(TextOf(reason));
    reply.mutable_choices()->Assign(choices.begin(), choices.end());
  } else {
    reply.set_error(absl::StrCat("gave no plan (", code, "): ", TextOf(reason)));
  }
  return reply;
}

absl::Status Serve(const std::string& path, HostChannel& channel) {
  const absl::Time never = absl::InfiniteFuture();
  proto::PolicyHostReply reply;
  const absl::StatusOr<const SluicePolicyPlugin*> loaded = Load(path);
  if (!loaded.ok()) {
    reply.set_error(std::string(loaded.status().message()));
    return channel.Send(reply, never);
  }
  const SluicePolicyPlugin& plugin = **loaded;
  reply.set_text(plugin.name);
  SLUICE_RETURN_IF_ERROR(channel.Send(reply, never));

  proto::PolicyHostRequest request;
  SLUICE_RETURN_IF_ERROR(channel.Receive(request, never));
  void* state = nullptr;
  Text error = {};
  const int32_t code = plugin.create(request.config().c_str(), &state, error.data(), error.size());
  reply.Clear();
  if (code != 0) {
    reply.set_error(
        absl::StrCat("refuses compression.plugin_config (", code, "): ", TextOf(error)));
    return channel.Send(reply, never);
  }
  SLUICE_RETURN_IF_ERROR(channel.Send(reply, never));
  absl::Status status;
  while (status.ok()) {
    status = channel.Receive(request, never);
    if (status.ok()) status = channel.Send(Ask(plugin, state, request), never);
  }
  plugin.destroy(state);
  return status;
}

}  // namespace

int RunPolicyHost(const std::string& plugin) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  HostChannel channel(kPolicyHostFd);
  // The coordinator's end of the socket is the only one that is told anything.
  return absl::IsDataLoss(Serve(plugin, channel)) ? kExitBug : kExitOk;
}

}  // namespace sluice
