#include <functional>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "policies/compression/codec_choice.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/lgreco.h"
#include "policies/compression/none.h"
#include "policies/compression/uniform.h"

namespace sluice {
namespace {

using Factory =
    std::function<std::unique_ptr<CompressionPolicyMaker>(const proto::Compression& config)>;

template <class Policy>
Factory Make() {
  return [](const proto::Compression& config) { return std::make_unique<Policy>(config); };
}

// One line per policy.
std::map<std::string, Factory> Factories() {
  return {{"lgreco", Make<LGrecoPolicy>()},
          {"none", Make<NonePolicy>()},
          {"uniform", Make<UniformPolicy>()}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<CompressionPolicyMaker>> CreateCompressionPolicy(
    const proto::Compression& config) {
  const std::map<std::string, Factory> factories = Factories();
  const auto found = factories.find(config.policy());
  if (found == factories.end()) {
    std::string known;
    for (const auto& [name, factory] : factories) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", name);
    }
    return absl::InvalidArgumentError(absl::StrCat("unknown compression policy \"", config.policy(),
                                                   "\", expected one of ", known));
  }
  if (config.policy() != "none" && !CanHaveBits(UniformCodec(config))) {
    return absl::InvalidArgumentError(
        absl::StrCat("compression.uniform_bits is ", config.uniform_bits(),
                     ", but quantizer l2norm needs 2 or more: one bit is the sign"));
  }
  if (config.policy() == "lgreco" && config.metric() != "l2" && config.metric() != "l2sq") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown compression.metric \"", config.metric(), "\", expected l2 or l2sq"));
  }
  return found->second(config);
}

}  // namespace sluice
