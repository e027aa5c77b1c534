#include <functional>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/lgreco.h"
#include "policies/compression/lgreco_time.h"
#include "policies/compression/none.h"
#include "policies/compression/recorded.h"
#include "policies/compression/uniform.h"

namespace sluice {
namespace {

using Factory = std::function<absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>>(
    const proto::Compression& config)>;

template <class Policy>
Factory Make() {
  return [](const proto::Compression& config) { return std::make_unique<Policy>(config); };
}

// One line per policy.
std::map<std::string, Factory> Factories() {
  return {{"lgreco", Make<LGrecoPolicy>()},
          {"lgreco_time", Make<LGrecoTimePolicy>()},
          {"none", Make<NonePolicy>()},
          {"recorded", RecordedPolicy::Create},
          {"uniform", Make<UniformPolicy>()}};
}

}  // namespace

std::vector<std::string> CompressionPolicyNames() {
  std::vector<std::string> names;
  for (const auto& [name, factory] : Factories()) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> CreateCompressionPolicy(
    const proto::Compression& config) {
  const std::map<std::string, Factory> factories = Factories();
  const auto found = factories.find(config.policy());
  if (found == factories.end()) {
    return absl::InvalidArgumentError(absl::StrCat("unknown compression policy \"", config.policy(),
                                                   "\", expected one of ",
                                                   absl::StrJoin(CompressionPolicyNames(), ", ")));
  }
  if (config.policy() != "none" && !CanHaveBits(UniformCodec(config))) {
    return absl::InvalidArgumentError(
        absl::StrCat("compression.uniform_bits is ", config.uniform_bits(),
                     ", but quantizer l2norm needs 2 or more: one bit is the sign"));
  }
  const proto::CodecKind kind = UniformCodec(config).kind();
  if (config.policy() == "lgreco" && kind != proto::CODEC_MAXMIN && kind != proto::CODEC_L2NORM) {
    return absl::InvalidArgumentError(absl::StrCat(
        "compression.uniform_codec is ", config.uniform_codec(),
        ", but policy lgreco needs a quantiser as its reference: leave it at quantizer, or use "
        "policy uniform"));
  }
  if (config.policy() == "lgreco" && config.metric() != "l2" && config.metric() != "l2sq") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown compression.metric \"", config.metric(), "\", expected l2 or l2sq"));
  }
  return found->second(config);
}

}  // namespace sluice
