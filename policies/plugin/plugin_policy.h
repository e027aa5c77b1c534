#pragma once

#include <optional>
#include <string>
#include <vector>

#include "policies/compression/compression_policy.h"
#include "policies/plugin/host_process.h"

namespace sluice {

/// "plugin": asks a shared object (sluice_policy.h), which lives in a process of its own.
///
///     Start: loaded and created --(1)--> asked per window --(2)--> no host --(next window)--> started again
///                 |                            \__________________(3)________> given up
///                 v refused: the job does not start
///
///   1  Plan waits up to plugin_timeout_seconds; starting again may take kStartTime more, once
///   2  it crashed or did not answer; a plan that is nonsense leaves the host as it is
///   3  kMostFailures windows in a row gave no plan, whatever the reason: it is not asked any more
///
/// Beside the registry the one place of policies/ with a process and a clock.
class PluginPolicy : public CompressionPolicyMaker {
 public:
  static constexpr int kMostFailures = 3;
  /// For starting a host's program and loading the plugin, beside plugin_timeout_seconds for creating it.
  static constexpr absl::Duration kStartTime = absl::Seconds(10);

  explicit PluginPolicy(const proto::Compression& config);
  /// \param host  see HostProcess::Start
  PluginPolicy(const proto::Compression& config, std::vector<std::string> host);

  /// Loads and creates the plugin. To be called once, before Plan.
  /// \error kFailedPrecondition  it cannot be loaded, is no plugin or of another version, crashes, hangs, or
  ///                             refuses its config: one line with the file and what to do
  absl::Status Start();

  bool NeedsErrors() const override { return true; }

  /// Always a choice among the window's options, raw on layers that are not eligible.
  /// \error kInvalidArgument  as CompressionPolicyMaker::Plan
  /// \error kUnavailable      the plugin crashed, hung, gave no plan or one that cannot be
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;

 private:
  absl::Status StartHost();
  absl::StatusOr<proto::PolicyHostReply> AskHost(const proto::PolicyHostRequest& request);

  const std::string path_;
  const std::string config_;
  const absl::Duration timeout_;
  const proto::CodecChoice reference_;
  const std::vector<std::string> host_command_;
  std::optional<HostProcess> host_;
  std::string name_;  // as the plugin says
  int failures_ = 0;  // windows in a row
};

}  // namespace sluice
