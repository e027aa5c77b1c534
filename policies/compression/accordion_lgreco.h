#pragma once

#include <string>

#include "policies/compression/accordion.h"
#include "policies/compression/compression_policy.h"
#include "policies/compression/lgreco.h"

namespace sluice {

/// "accordion+lgreco": the least bytes whose error stays within alpha times that of accordion's choices.
///
/// As "lgreco", with accordion's choices of the window in the place of the uniform plan: at alpha >= 1 never
/// more bytes than accordion sends. While gradients change fast the budget is small, afterwards it is the
/// uniform reference's. Source: Alimohammadi et al. 2024, "L-GreCo", the combination with Accordion.
class AccordionLGrecoPolicy : public CompressionPolicyMaker {
 public:
  explicit AccordionLGrecoPolicy(const proto::Compression& config)
      : reference_(UniformCodec(config)), accordion_(config), lgreco_(config) {}
  bool NeedsErrors() const override { return true; }
  absl::StatusOr<proto::CompressionPolicy> Plan(const proto::WindowStatistics& window) override;
  std::string SaveState() const override { return accordion_.SaveState(); }
  absl::Status RestoreState(absl::string_view bytes) override {
    return accordion_.RestoreState(bytes);
  }

 private:
  const proto::CodecChoice reference_;
  AccordionPolicy accordion_;
  LGrecoPolicy lgreco_;
};

}  // namespace sluice
